import { createDummyEngine } from "../../shared/dummy-engine.ts";
import { MODEL } from "../harness/wire.ts";
import { engineContract } from "./engine.ts";

const CONTEXT_SIZE = 200;
const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`).join(" ");

engineContract("the dummy engine", { isLocal: true }, async () => ({
  engine: createDummyEngine({ contextSize: CONTEXT_SIZE }),
  model: MODEL,
  source: "demo",
  longAnswer: words(30),
  longPrompt: words(30),
  tooLong: words(CONTEXT_SIZE + 1),
}));
