import type { Wire } from "../../functions/backends/dialect.ts";
import type { EngineCall } from "../../shared/engine.ts";
import { createStopScanner } from "./stop.ts";
import { isWire, omit, wires } from "./supervised-wire.ts";

/**
 * Stop strings for mlx_lm.server, which is not told of them: it ends only where the tokens of a stop string come as they
 * are spelled alone, and takes the string out of the text wherever else it stands ("Im only" for "I am only" at a stop of
 * " a"; 0.32.2, measured 2026-11-25). It writes on to its own end: only there it tells what it counted.
 */
export function stopsOf(call: EngineCall): readonly string[] {
  const stop = call.route === "embeddings" ? undefined : call.body.stop;
  return typeof stop === "string" ? [stop] : (stop ?? []);
}

/** A whole choice up to its first stop string. */
export function cutChoice(choice: Wire, stops: readonly string[]): Wire {
  const { message } = choice;
  const content = isWire(message) ? message.content : choice.text;
  if (typeof content !== "string") return choice;
  const { text, stop } = createStopScanner(stops).push(content);
  if (stop === undefined) return choice;
  const logprobs = isWire(choice.logprobs) ? cutLogprobs(choice.logprobs, text) : choice.logprobs;
  const ended = { ...choice, finish_reason: "stop", logprobs };
  // What it called, it called behind the stop string.
  return isWire(message)
    ? { ...ended, message: { ...omit(message, "tool_calls"), content: text } }
    : { ...ended, text };
}

/** The tokens that lie in `text`, from its begin. */
function cutLogprobs(logprobs: Wire, text: string): Wire {
  let left = new TextEncoder().encode(text).length;
  const content = wires(logprobs.content).filter(({ bytes }) => {
    left -= Array.isArray(bytes) ? bytes.length : 0;
    return left >= 0;
  });
  return { ...logprobs, content };
}

/** Cuts the one choice of a stream: called with each chunk's choice in order; undefined: nothing of it is for the client. */
export function createStreamCut(stops: readonly string[]): (choice: Wire) => Wire | undefined {
  if (stops.length === 0) return (choice) => choice;
  const scanner = createStopScanner(stops);
  let isOver = false;
  return (choice) => {
    if (isOver) return undefined;
    const { delta } = choice;
    const content = isWire(delta) ? delta.content : choice.text;
    const scan = scanner.push(typeof content === "string" ? content : "");
    const isLast = (choice.finish_reason ?? null) !== null;
    isOver = scan.stop !== undefined || isLast;
    const text = scan.text + (isLast && scan.stop === undefined ? scanner.flush() : "");
    const ended = scan.stop === undefined ? choice : { ...choice, finish_reason: "stop" };
    if (!isWire(delta)) return { ...ended, text };
    const isUnchanged = text === "" && typeof content !== "string";
    return isUnchanged ? ended : { ...ended, delta: { ...delta, content: text } };
  };
}
