import { inject } from "vitest";
import { DEMO_CONTEXT, demoHost, LONG_PROMPT, LONG_QUESTION } from "../harness/demo-engine.ts";
import { tokenChecks } from "./tokens.ts";

tokenChecks("the demo model", {
  setup: () => demoHost(DEMO_CONTEXT),
  question: LONG_QUESTION,
  prompt: LONG_PROMPT,
  wideQuestion: "你好",
  contextSize: inject("realEngine")?.contextSize ?? DEMO_CONTEXT,
  isSampling: true,
});
