import { DEMO_CONTEXT, DEMO_MODEL, demoEngine, LONG_PROMPT, LONG_QUESTION } from "../harness/demo-engine.ts";
import { MODEL } from "../harness/wire.ts";
import { engineContract } from "./engine.ts";

engineContract("the llama.cpp engine", { isLocal: true, badSource: "/nowhere/model.gguf" }, async () => ({
  engine: demoEngine(),
  model: MODEL,
  source: DEMO_MODEL,
  longAnswer: LONG_QUESTION,
  longPrompt: LONG_PROMPT,
  tooLong: Array.from({ length: DEMO_CONTEXT + 1 }, (_, i) => `w${i}`).join(" "),
}));
