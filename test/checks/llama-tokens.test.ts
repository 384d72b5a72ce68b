import { DEMO_CONTEXT, DEMO_MODEL, demoEngine, LONG_PROMPT, LONG_QUESTION } from "../harness/demo-engine.ts";
import { MODEL } from "../harness/wire.ts";
import { tokenChecks } from "./tokens.ts";

tokenChecks("the llama.cpp engine", {
  setup: async () => {
    const engine = demoEngine();
    await engine.initialize();
    await engine.loadModel(MODEL, DEMO_MODEL);
    return { engine };
  },
  question: LONG_QUESTION,
  prompt: LONG_PROMPT,
  wideQuestion: "你好",
  contextSize: DEMO_CONTEXT,
  isSampling: true,
});
