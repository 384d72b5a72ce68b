import { once } from "node:events";
import { request } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import type { Engine } from "../../shared/engine.ts";
import { dummy } from "../harness/app.ts";
import { type Host, startHost } from "../harness/host.ts";
import { checkedFetch } from "../harness/oracle.ts";
import { chat, eventsOf, gate, readStream } from "../harness/wire.ts";

let host: Host | undefined;
afterEach(async () => {
  host?.abort();
  await host?.close();
  host = undefined;
});

/** A host whose answers stop before their second token until the gate opens. */
async function heldHost(drainMs: number) {
  const held = gate();
  /** What was in flight on the engine when it was closed. */
  const closed: number[] = [];
  const inner = dummy({
    beforeToken: async (index, signal) => {
      if (index > 0) await Promise.race([held.opened, once(signal, "abort")]);
    },
  });
  const engine: Engine = {
    ...inner,
    close: () => {
      closed.push(inner.status().active);
      return inner.close();
    },
  };
  const started = await startHost({ engine, config: { limits: { drainMs } } });
  host = started;
  const post = (body: unknown, init: RequestInit = {}) =>
    checkedFetch(`${started.baseURL}/chat/completions`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
      ...init,
    });
  return { host: started, held, closed, engine: inner, post };
}

const STREAM = chat("one two three", { stream: true });

describe("a host that is asked to stop", () => {
  it("lets what is in flight finish, and then is gone", async () => {
    const { host, held, closed, post } = await heldHost(60_000);
    const stream = await post(STREAM);
    const answer = post(chat("one two"));
    await host.inFlight(2);
    const closing = host.close();
    expect(closed).toEqual([]);
    held.open();
    expect((await readStream(stream)).text()).toBe("one two three");
    expect((await (await answer).json()).choices[0].message.content).toBe("one two");
    await closing;
    expect(closed).toEqual([0]);
    await expect(fetch(`${host.url}/health`)).rejects.toThrow();
  });

  it("refuses new requests meanwhile with 503 and a time to retry, but says that it lives", async () => {
    const { host, held, post } = await heldHost(60_000);
    const stream = await post(STREAM);
    // A connection that is open already, as a client's pool or a proxy holds one; idle ones are closed.
    const closing = host.close();
    const refusal = await askOn(host, "/v1/models");
    expect(refusal).toMatchObject({ status: 503, retryAfter: "1", connection: "close" });
    expect(JSON.parse(refusal.text).error).toMatchObject({
      type: "server_error",
      code: "server_is_overloaded",
    });
    expect(await askOn(host, "/health")).toMatchObject({ status: 200 });
    expect(await askOn(host, "/health/ready")).toMatchObject({ status: 503 });
    held.open();
    await readStream(stream);
    await closing;
  });

  it("cuts streams off when the time is over, frees the engine and counts what was made", async () => {
    const { host, closed, engine, post } = await heldHost(1);
    const stream = await post(STREAM);
    const events = eventsOf(stream);
    const cut = (async () => {
      for await (const _ of events);
    })();
    const status = await (await fetch(`${host.url}/v1/system/status`)).json();
    expect(status).toMatchObject({ traffic: { in_flight: 1 } });
    await Promise.all([host.close(), expect(cut).rejects.toThrow()]);
    expect(closed).toEqual([0]);
    expect(engine.status()).toMatchObject({ state: "stopped", active: 0 });
  });

  it("ends at once when told a second time to hurry", async () => {
    const { host, closed, post } = await heldHost(60_000);
    const events = eventsOf(await post(STREAM));
    await events.next();
    const cut = expect(
      events
        .next()
        .then(() => events.next())
        .then(() => events.next()),
    ).rejects.toThrow();
    const closing = host.close();
    host.abort();
    await closing;
    await cut;
    expect(closed).toEqual([0]);
  });

  it("stops once: a second close waits for the first", async () => {
    const { host } = await heldHost(60_000);
    expect(host.close()).toBe(host.close());
    await host.close();
  });

  it("is gone at once when nothing is in flight, kept-alive connections notwithstanding", async () => {
    const { host, held, post } = await heldHost(60_000);
    held.open();
    await (await post(chat("x"))).text();
    await host.close();
    await expect(fetch(`${host.url}/health`)).rejects.toThrow();
  });
});

it("a port that is taken is told, not waited for", async () => {
  const { host } = await heldHost(1);
  await expect(startHost({ config: { port: host.port } })).rejects.toMatchObject({ code: "EADDRINUSE" });
});

/** On a connection of its own, whose refusal can be read whole. */
function askOn(host: Host, path: string) {
  return new Promise<{ status: number | undefined; text: string; retryAfter?: string; connection?: string }>(
    (resolve, reject) => {
      const asked = request(`${host.url}${path}`, async (response) => {
        let text = "";
        for await (const piece of response) text += piece;
        const { "retry-after": retryAfter, connection } = response.headers;
        resolve({
          status: response.statusCode,
          text,
          ...(retryAfter && { retryAfter }),
          ...(connection && { connection }),
        });
      });
      asked.once("error", reject).end();
    },
  );
}
