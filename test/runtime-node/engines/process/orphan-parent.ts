// A server that starts a fake engine and then waits to be killed, or told (SIGUSR2) to exit: run by orphans.test.ts.
import { createEngineProcess } from "../../../../runtime-node/engines/process.ts";
import { fakeCommand, quietLog } from "./fake-command.ts";

const [stateDir = "", fake = "{}"] = process.argv.slice(2);
const engine = createEngineProcess({
  id: "fake",
  command: (port) => fakeCommand(JSON.parse(fake), port),
  ping: async (port, signal) => void (await fetch(`http://127.0.0.1:${port}/health`, { signal })),
  probe: async () => {},
  stateDir,
  env: process.env,
  log: quietLog,
});
const { pid } = await engine.ensureReady();
process.once("SIGUSR2", () => process.exit(1));
console.log(`ready ${pid}`);
setInterval(() => {}, 1000);
