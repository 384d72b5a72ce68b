import { dummy } from "../harness/app.ts";
import { tokenChecks } from "./tokens.ts";

const CONTEXT_SIZE = 100;

tokenChecks("the dummy engine", {
  setup: () => ({ engine: dummy({ contextSize: CONTEXT_SIZE }) }),
  question: "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi",
  prompt: "one two three four",
  wideQuestion: "🙂 hello שלום 你好 👩‍👩‍👧 end",
  contextSize: CONTEXT_SIZE,
  isSampling: false,
});
