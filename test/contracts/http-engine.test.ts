import { createHttpEngine } from "../../functions/backends/http-engine.ts";
import { createTransport } from "../../runtime-node/transport.ts";
import { createDummyEngine } from "../../shared/dummy-engine.ts";
import { startHost } from "../harness/host.ts";
import { MODEL } from "../harness/wire.ts";
import { engineContract } from "./engine.ts";

const CONTEXT_SIZE = 200;
const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`).join(" ");

engineContract("the HTTP engine before a real host", { isLocal: false }, async () => {
  const host = await startHost({ engine: createDummyEngine({ contextSize: CONTEXT_SIZE }) });
  const { transport, close } = createTransport(5000);
  return {
    engine: createHttpEngine({
      id: "backend",
      url: host.baseURL,
      apiKey: undefined,
      headers: {},
      models: "any",
      headersTimeoutMs: 20_000,
      idleTimeoutMs: 20_000,
      transport,
    }),
    model: MODEL,
    source: "",
    longAnswer: words(30),
    longPrompt: words(30),
    tooLong: words(CONTEXT_SIZE + 1),
    close: async () => {
      host.abort();
      await host.close();
      await close();
    },
  };
});
