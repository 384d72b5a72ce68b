/** The one reader and writer of server-sent events. */

/** An event longer than this ends the stream: memory stays bounded whatever a backend sends. */
const MAX_EVENT_CHARS = 8 * 1024 * 1024;

const encoder = new TextEncoder();

export const DONE_EVENT = encoder.encode("data: [DONE]\n\n");
/** A comment: keeps proxies and clients from timing out; every client skips it. */
export const PING_EVENT = encoder.encode(": ping\n\n");

export const SSE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
};

/** One event whose payload is already JSON text; text of several lines takes a `data:` each. */
export function encodeEvent(json: string): Uint8Array {
  return encoder.encode(`data: ${json.replaceAll("\n", "\ndata: ")}\n\n`);
}

/** An answer that makes the next event when its reader asks; `stop` is called when the reader leaves. */
export function eventStream(
  events: AsyncGenerator<Uint8Array, void, void>,
  stop: (reason: unknown) => Promise<void>,
): Response {
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const step = await events.next();
        if (step.done) controller.close();
        else controller.enqueue(step.value);
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: SSE_HEADERS });
}

/**
 * The data of each event as it becomes complete, comments skipped; several `data:` lines are joined by a newline as
 * the HTML standard says. Lines may end in LF, CRLF or CR. A last event without its blank line is yielded too:
 * whether the stream was cut is for the caller to tell (by `[DONE]`).
 *
 * @throws RangeError when one event passes 8 Mi characters.
 */
export async function* readEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let pending = "";
  let data: string | undefined;
  const take = function* (text: string, isEnd: boolean) {
    pending += text;
    let start = 0;
    for (;;) {
      const end = lineEnd(pending, start, isEnd);
      if (end === undefined) break;
      const line = pending.slice(start, end.at);
      start = end.next;
      if (line === "") {
        if (data !== undefined) yield data;
        data = undefined;
      } else if (line.startsWith("data:")) {
        const value = line.slice(line.charCodeAt(5) === 32 ? 6 : 5);
        data = data === undefined ? value : `${data}\n${value}`;
      }
    }
    pending = pending.slice(start);
    if (pending.length + (data?.length ?? 0) > MAX_EVENT_CHARS) {
      throw new RangeError(`An event of the stream is longer than ${MAX_EVENT_CHARS} characters`);
    }
  };
  for await (const chunk of bytes) yield* take(decoder.decode(chunk, { stream: true }), false);
  yield* take(`${decoder.decode()}\n\n`, true);
}

function lineEnd(text: string, from: number, isEnd: boolean): { at: number; next: number } | undefined {
  const lf = text.indexOf("\n", from);
  const cr = text.indexOf("\r", from);
  if (cr === -1 || (lf !== -1 && lf < cr)) return lf === -1 ? undefined : { at: lf, next: lf + 1 };
  // A CR at the very end may be the first half of a CRLF that is still on its way.
  if (cr === text.length - 1 && !isEnd) return undefined;
  return { at: cr, next: text.charCodeAt(cr + 1) === 10 ? cr + 2 : cr + 1 };
}
