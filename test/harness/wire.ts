import { vi } from "vitest";
import { readEvents } from "../../shared/openai/sse.ts";

/** The model that hosts serve when a test says nothing. */
export const MODEL = "sluice-demo";

/** A chat body with one user message. */
export function chat(text: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { model: MODEL, messages: [{ role: "user", content: text }], ...more };
}

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, already validated against OpenAI's schemas
export type Json = any;

export interface StreamRead {
  /** The payload of every event but `[DONE]`, parsed. */
  readonly chunks: readonly Json[];
  readonly isDone: boolean;
  readonly error: Json;
  /** All text of choice `index`, joined. */
  text(index?: number): string;
  finish(index?: number): string | undefined;
}

/** A whole stream. Rejects when anything follows `[DONE]` or an error. */
export async function readStream(response: Response): Promise<StreamRead> {
  const chunks: Json[] = [];
  let isDone = false;
  let error: Json;
  for await (const event of eventsOf(response)) {
    if (isDone || error !== undefined) throw new Error(`The stream goes on after its end: ${event}`);
    if (event === "[DONE]") isDone = true;
    else {
      const chunk = JSON.parse(event);
      if (chunk.error !== undefined) error = chunk.error;
      else chunks.push(chunk);
    }
  }
  const choices = (index: number) =>
    chunks.flatMap((chunk) => chunk.choices.filter((choice: Json) => choice.index === index));
  return {
    chunks,
    isDone,
    error,
    text: (index = 0) =>
      choices(index)
        .map((choice) => choice.delta?.content ?? choice.text ?? "")
        .join(""),
    finish: (index = 0) => choices(index).findLast((choice) => choice.finish_reason)?.finish_reason,
  };
}

/** The data of each event; leaving the loop closes the connection. */
export function eventsOf(response: Response): AsyncGenerator<string, void, void> {
  if (response.body === null) throw new Error("The answer has no body");
  return readEvents(response.body);
}

/** A stream's body, piece by piece as its writer made them. Rejects when one is not whole characters. */
export async function piecesOf(response: Response): Promise<readonly string[]> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const pieces: string[] = [];
  if (response.body === null) throw new Error("The answer has no body");
  // Not as one stream: each piece by itself must be whole characters.
  for await (const piece of response.body) pieces.push(decoder.decode(piece));
  return pieces;
}

/** Looks again and again until `check` doesn't throw: for what tells nobody when it changes. Rejects as `check` does in the end. */
export function eventually(check: () => void | Promise<void>): Promise<void> {
  return vi.waitFor(check, { timeout: 15_000, interval: 20 });
}

/** A promise with its ends in hand, to hold an engine at a token or to wait for an event. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
