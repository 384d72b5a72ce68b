import { engineContract } from "../contracts/engine.ts";
import { LONG_PROMPT, LONG_QUESTION } from "../harness/demo-engine.ts";
import { MODEL } from "../harness/wire.ts";
import { makeSupervised, prepared, sourceOf } from "./real-engines.ts";
import { PACKAGED } from "./venvs.ts";

// Longer than any tokens of any context here could make it.
const TOO_LONG = Array.from({ length: 20_000 }, (_, i) => `w${i}`).join(" ");

for (const name of PACKAGED) {
  if (prepared.venvs[name] === undefined) continue;
  engineContract(`the real ${name} engine`, { isLocal: false, loadMs: 300_000 }, async () => ({
    ...(await makeSupervised(name)),
    model: MODEL,
    source: sourceOf(name),
    longAnswer: LONG_QUESTION,
    longPrompt: LONG_PROMPT,
    tooLong: TOO_LONG,
  }));
}
