import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DONE_EVENT, encodeEvent, PING_EVENT, readEvents } from "../../../shared/openai/sse.ts";

const encoder = new TextEncoder();

async function read(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<readonly string[]> {
  const bytes = (async function* () {
    yield* pieces;
  })();
  const events: string[] = [];
  for await (const event of readEvents(bytes)) events.push(event);
  return events;
}

const readText = (text: string) => read([encoder.encode(text)]);

/** `bytes` cut at the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): readonly Uint8Array[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, i) => bytes.subarray(edges[i], edge));
}

describe("the reader", () => {
  it.each([
    ["LF", "data: a\n\ndata: b\n\n"],
    ["CRLF", "data: a\r\n\r\ndata: b\r\n\r\n"],
    ["CR", "data: a\r\rdata: b\r\r"],
    ["all three mixed", "data: a\r\n\ndata: b\r\r\n"],
    ["a byte order mark first", "\uFEFFdata: a\n\ndata: b\n\n"],
    ["no space after the colon", "data:a\n\ndata:b\n\n"],
    [
      "comments and other fields between",
      ": hi\nid: 1\nevent: x\ndata: a\nretry: 5\n\n: ping\n\ndata: b\n\n",
    ],
    ["more empty lines", "\n\n\ndata: a\n\n\n\ndata: b\n\n\n"],
    ["no blank line at the very end", "data: a\n\ndata: b"],
  ])("reads events with %s", async (_, text) => {
    expect(await readText(text)).toEqual(["a", "b"]);
  });

  it("joins the data lines of one event by a newline, and takes off one space only", async () => {
    expect(await readText("data: {\ndata:  x\ndata:\ndata: }\n\n")).toEqual(["{\n x\n\n}"]);
  });

  it("yields an event that is empty, and none for a comment", async () => {
    expect(await readText("data:\n\n: only\n\n")).toEqual([""]);
  });

  it("yields each event as soon as it is whole", async () => {
    const rest = Promise.withResolvers<void>();
    const bytes = (async function* () {
      yield encoder.encode("data: a\n\nda");
      await rest.promise;
      yield encoder.encode("ta: b\n\n");
    })();
    const events = readEvents(bytes);
    expect(await events.next()).toEqual({ done: false, value: "a" });
    rest.resolve();
    expect(await events.next()).toEqual({ done: false, value: "b" });
  });

  it("lets go of the bytes when its caller leaves", async () => {
    let isFreed = false;
    const bytes = (async function* () {
      try {
        for (;;) yield encoder.encode("data: a\n\n");
      } finally {
        isFreed = true;
      }
    })();
    for await (const _ of readEvents(bytes)) break;
    expect(isFreed).toBe(true);
  });

  it("gives the same events however the bytes are cut", async () => {
    const line = fc.string({
      unit: fc.constantFrom("a", "é", "你", "🙂", " ", ":", "{", '"'),
      maxLength: 12,
    });
    const ending = fc.constantFrom("\n", "\r\n", "\r");
    const event = fc
      .tuple(
        fc.array(fc.tuple(fc.constantFrom("data: ", "data:", ": ", "id: "), line, ending), { maxLength: 4 }),
        ending,
      )
      .map(([lines, end]) => lines.map((parts) => parts.join("")).join("") + end);
    const stream = fc.array(event, { maxLength: 6 }).map((events) => encoder.encode(events.join("")));
    await fc.assert(
      fc.asyncProperty(stream, fc.array(fc.nat(), { maxLength: 12 }), async (bytes, places) => {
        expect(await read(cut(bytes, places))).toEqual(await read([bytes]));
        expect(await read(cut(bytes, [...bytes.keys()]))).toEqual(await read([bytes]));
      }),
      { numRuns: 200 },
    );
  });

  it("survives any bytes at all, with the same outcome however they are cut", async () => {
    const bytes = fc.uint8Array({ maxLength: 64 });
    await fc.assert(
      fc.asyncProperty(bytes, fc.array(fc.nat(), { maxLength: 6 }), async (raw, places) => {
        expect(await read(cut(raw, places))).toEqual(await read([raw]));
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    ["one line without an end", "x"],
    ["data line after data line", "\ndata: "],
  ])("refuses an event that would fill memory: %s", async (_, glue) => {
    const piece = encoder.encode(`${glue}${"x".repeat(1024 * 1024)}`);
    let sent = 0;
    const bytes = (async function* () {
      yield encoder.encode("data: ");
      for (; sent < 100; sent++) yield piece;
    })();
    await expect(read(bytes)).rejects.toThrow(RangeError);
    expect(sent).toBeLessThan(10);
  });
});

describe("the writer", () => {
  it("writes what the reader reads", async () => {
    const json = fc.jsonValue().map((value) => JSON.stringify(value));
    await fc.assert(
      fc.asyncProperty(fc.array(json), async (payloads) => {
        expect(await read(payloads.map(encodeEvent))).toEqual(payloads);
      }),
    );
  });

  it("keeps JSON of several lines whole, as the reader joins them", async () => {
    const json = '{\n  "a": 1\n}';
    expect(await read([encodeEvent(json)])).toEqual([json]);
  });

  it("ends in [DONE], and pings with a comment", async () => {
    expect(await read([encodeEvent("1"), PING_EVENT, DONE_EVENT])).toEqual(["1", "[DONE]"]);
  });
});
