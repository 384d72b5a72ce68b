import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTransport } from "../../runtime-node/transport.ts";
import { answerStream, answerText, startUpstream, type Upstream } from "../harness/upstream.ts";

let upstream: Upstream;
let hosts: ReturnType<typeof createTransport>;
beforeEach(async () => {
  upstream = await startUpstream();
  hosts = createTransport(5000);
});
afterEach(async () => {
  await upstream.close();
  await hosts.close();
});

const get = (signal = new AbortController().signal) =>
  hosts.transport({ method: "GET", url: `${upstream.url}/models`, headers: {}, signal });

const SOME = ["1", "2", "3", "4", "5"];

/** Lets this process hear of what happened on its sockets. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe("what the host sends to backends", () => {
  it("answers with the status, the headers and the text", async () => {
    upstream.play(answerText(418, "short and stout", { "x-pot": "tea" }));
    const response = await get();
    expect(response.status).toBe(418);
    expect(response.headers.get("x-pot")).toBe("tea");
    expect(response.headers.get("x-cup")).toBeNull();
    expect(await response.text()).toBe("short and stout");
  });

  it("waits for the answer where a proxy sends early hints before it", async () => {
    upstream.play((response) => {
      response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      response.writeHead(500, { "x-pot": "tea" }).end("broken");
    });
    const response = await get();
    expect([response.status, response.headers.get("x-pot")]).toEqual([500, "tea"]);
    expect(await response.text()).toBe("broken");
  });

  it("gives all that has arrived before it says that the connection broke", async () => {
    upstream.play(answerStream(SOME, "destroy"));
    const asked = upstream.next();
    const { body } = await get();
    await (await asked).closed;
    await turns();
    let text = "";
    const read = async () => {
      for await (const piece of body ?? []) text += new TextDecoder().decode(piece);
    };
    await expect(read()).rejects.toThrow();
    expect(text).toBe(SOME.map((event) => `data: ${event}\n\n`).join(""));
  });

  it("ends an aborted stream in the abort's reason, also while nothing comes", async () => {
    upstream.play(answerStream(SOME, "hang"));
    const abort = new AbortController();
    const asked = upstream.next();
    const { body } = await get(abort.signal);
    const read = async () => {
      for await (const piece of body ?? []) if (String(piece) !== "") abort.abort(new Error("left"));
    };
    await expect(read()).rejects.toThrow("left");
    await (await asked).closed;
  });

  it("rejects in the abort's reason before the headers", async () => {
    upstream.play(() => {});
    const abort = new AbortController();
    const asked = upstream.next();
    const answer = get(abort.signal);
    const { closed } = await asked;
    abort.abort(new Error("left"));
    await expect(answer).rejects.toThrow("left");
    await closed;
  });

  it("closes the connection of a reader who stops reading", async () => {
    upstream.play(answerStream(SOME, "hang"));
    const asked = upstream.next();
    const { body } = await get();
    for await (const _ of body ?? []) break;
    await (await asked).closed;
  });

  it("holds a backend back that sends more than is read", async () => {
    const piece = "x".repeat(64 * 1024);
    const PIECES = 1000;
    let sent = 0;
    upstream.play(async (response) => {
      response.writeHead(200);
      for (; sent < PIECES; sent++) if (!response.write(piece)) await once(response, "drain");
      response.end();
    });
    const { body } = await get();
    for (let before = -1; before !== sent; await turns()) before = sent;
    expect(sent).toBeLessThan(PIECES / 2);
    let bytes = 0;
    for await (const part of body ?? []) bytes += part.length;
    expect(bytes).toBe(PIECES * piece.length);
  });
});
