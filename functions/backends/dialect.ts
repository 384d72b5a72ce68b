import type { EngineCall } from "../../shared/engine.ts";
import type { ApiError } from "../../shared/openai/errors.ts";
import type { Usage } from "../../shared/openai/usage.ts";

/** A JSON object as it goes over the wire. */
export type Wire = Readonly<Record<string, unknown>>;

/**
 * Where an engine's HTTP differs from OpenAI's: an adapter's pure functions, applied on the way to it and back. What
 * holds for every backend (names, required nulls, usage nobody asked for) is the relay's.
 */
export interface Dialect {
  /** The body as the engine wants it. Throws an `ApiError` for what it can't do: a clear 400, never a wrong answer. */
  readonly request?: (call: EngineCall, body: Wire) => Wire;
  /** Its whole answer as OpenAI would have written it. */
  readonly answer?: (call: EngineCall, answer: Wire) => Wire;
  /** One function a stream, called with every chunk in order. */
  readonly chunks?: (call: EngineCall) => (chunk: Wire) => Heard;
  /** An error of its own; undefined: as of any backend. */
  readonly error?: (call: EngineCall, status: number, text: string) => ApiError | undefined;
}

export interface Heard {
  /** For the client; the same object where nothing had to change; undefined: nothing. */
  readonly chunk: Wire | undefined;
  /** Running counts that the client must not see. */
  readonly usage?: Usage | undefined;
}
