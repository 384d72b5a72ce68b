import { readFileSync } from "node:fs";
import { afterAll, beforeAll } from "vitest";
import type { Dialect } from "../../../../functions/backends/dialect.ts";
import { createHttpEngine } from "../../../../functions/backends/http-engine.ts";
import { createTransport } from "../../../../runtime-node/transport.ts";
import type { EngineCall } from "../../../../shared/engine.ts";
import { answerText, startUpstream, type Upstream } from "../../../harness/upstream.ts";
import type { Json } from "../../../harness/wire.ts";

/** `replay(dialect, call, fixture)`: what comes of a call when its engine answers as recorded, and what it was sent. */
export function createReplay() {
  let upstream: Upstream;
  const { transport, close } = createTransport(5000);
  beforeAll(async () => {
    upstream = await startUpstream();
  });
  afterAll(async () => {
    await upstream.close();
    await close();
  });

  return async function replay(
    dialect: Dialect,
    call: EngineCall,
    name: string,
    status = 200,
  ): Promise<{ readonly response: Response; readonly sent: Json }> {
    const recorded = readFileSync(new URL(`../../../fixtures/${name}`, import.meta.url), "utf8");
    const type = name.endsWith(".sse") ? "text/event-stream" : "application/json";
    upstream.play(answerText(status, recorded, { "content-type": type }));
    const engine = createHttpEngine({
      id: "engine",
      url: upstream.url,
      apiKey: undefined,
      headers: {},
      models: "any",
      headersTimeoutMs: 5000,
      idleTimeoutMs: 5000,
      transport,
      dialect,
    });
    const response = await engine.respond(call);
    return { response, sent: upstream.requests.at(-1)?.body };
  };
}
