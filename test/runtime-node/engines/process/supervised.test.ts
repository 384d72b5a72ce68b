import { afterAll, afterEach, describe, expect, it } from "vitest";
import { createSupervisedEngine } from "../../../../runtime-node/engines/supervised.ts";
import type { EngineKit } from "../../../../runtime-node/engines/supervised-kit.ts";
import type { RegistryOptions } from "../../../../runtime-node/models/registry.ts";
import { createTransport } from "../../../../runtime-node/transport.ts";
import type { HostedEngine } from "../../../../shared/engine.ts";
import { chatCall } from "../../../harness/calls.ts";
import { eventsOf, eventually, type Json, readStream } from "../../../harness/wire.ts";
import { type Fake, fakeCommand, quietLog } from "./fake-command.ts";
import { isAlive, removeStateDir, stateDir } from "./fakes.ts";

const { transport, close } = createTransport(5000);
const made: HostedEngine[] = [];
afterEach(async () => {
  await Promise.all(made.splice(0).map((engine) => engine.close()));
});
afterAll(async () => {
  await close();
  removeStateDir();
});

/** Models `a`, `b` …, each a fake engine of its own. */
async function engineOf(
  fakes: Record<string, Fake>,
  registry: RegistryOptions = {},
  command: EngineKit["command"] = ({ id }, port) => fakeCommand(fakes[id] ?? {}, port),
) {
  const kit: EngineKit = {
    engine: "vllm",
    command,
    servedName: () => "served",
    dialect: () => ({}),
    progressOf: () => undefined,
    isFatal: () => false,
  };
  const engine = createSupervisedEngine({
    kit,
    models: Object.keys(fakes).map((id) => ({ id, source: `/models/${id}`, bytes: 10 })),
    transport,
    registry,
    limits: { pollMs: 10, stopMs: 2000, hungStopMs: 100, canaryMs: 60_000 },
    headersTimeoutMs: 20_000,
    idleTimeoutMs: 20_000,
    stateDir,
    env: process.env,
    log: quietLog,
  });
  made.push(engine);
  await engine.initialize();
  return engine;
}

const ask = (model: string, more: Record<string, unknown> = {}, signal?: AbortSignal) =>
  chatCall(model, { messages: [{ role: "user", content: "hi" }], max_tokens: 3, ...more }, signal);
const pidOf = (engine: HostedEngine) => Number(engine.status().details.pid);

describe("a supervised engine", () => {
  it("starts at the first request; twenty that come together share the start", async () => {
    const engine = await engineOf({ a: { loadMs: 100 } });
    expect(engine.status()).toMatchObject({ state: "ready", details: { state: "stopped" } });
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => (await engine.respond(ask("a"))).json() as Promise<Json>),
    );
    expect(new Set(answers.map(({ pid }) => pid)).size).toBe(1);
    expect(answers[0].model).toBe("asked-for");
    expect(engine.status()).toMatchObject({ state: "ready", active: 0, details: { restarts: 0 } });
  });

  it("that is killed in mid-stream ends the stream in an error event, and answers the next request", async () => {
    const engine = await engineOf({ a: { holdAt: 2 } });
    const call = ask("a", { stream: true });
    const response = await engine.respond(call);
    const pid = pidOf(engine);
    const text = new Response(response.body);
    const stream = readStream(text);
    await eventually(() => expect(call.report.read().usage.completionTokens).toBe(2));
    process.kill(pid, "SIGKILL");
    const { isDone, error } = await stream;
    expect({ isDone, error }).toMatchObject({ isDone: false, error: { type: "server_error" } });
    expect(call.report.failure).toMatchObject({ status: 502 });
    expect(call.report.read()).toMatchObject({ usage: { completionTokens: 2 }, source: "counted" });
    const next = await engine.respond(ask("a"));
    expect(await next.json()).toMatchObject({ choices: [{ message: { content: "w0 w1 w2 " } }] });
    expect(pidOf(engine)).not.toBe(pid);
    expect(engine.status()).toMatchObject({ active: 0 });
  });

  it("tells a client that it can't start, and no more than that", async () => {
    const engine = await engineOf({
      a: { prints: ["OSError: /models/a does not appear to have a file named config.json"], exit: 1 },
    });
    const refusal = engine.respond(ask("a"));
    await expect(refusal).rejects.toMatchObject({ status: 503, retryAfterMs: expect.any(Number) });
    await expect(refusal).rejects.toThrow("The engine of the model `a` can't start (model not found).");
    expect(engine.status()).toMatchObject({ state: "failed", details: { failure: "model_not_found" } });
    await expect(engine.loadModel("a", "/models/a")).rejects.toThrow("does not appear to have a file");
    await expect(engine.respond(ask("nobody"))).rejects.toMatchObject({ status: 404 });
  });

  it("does not come up by itself after a load that failed: its room may be another's by then", async () => {
    let starts = 0;
    const engine = await engineOf({ a: {}, b: {} }, { maxLoaded: 1 }, ({ id }, port) =>
      fakeCommand(id === "a" && starts++ === 0 ? { exit: 3 } : {}, port),
    );
    await expect(engine.respond(ask("a"))).rejects.toMatchObject({ status: 503 });
    expect(engine.status().details).toMatchObject({ "a.state": "stopped", "a.failure": "crashed" });
    expect((await engine.respond(ask("b"))).status).toBe(200);
    expect((await engine.respond(ask("a"))).status).toBe(200);
    expect(engine.status().details).toMatchObject({ "a.state": "ready", "b.state": "stopped" });
  });

  it("frees its place when the client leaves, in a start and in a stream", async () => {
    const engine = await engineOf({ a: { loadMs: 200, holdAt: 1 } });
    const leaving = new AbortController();
    const early = engine.respond(ask("a", {}, leaving.signal));
    leaving.abort(new Error("the client left"));
    await expect(early).rejects.toThrow("the client left");
    const response = await engine.respond(ask("a", { stream: true }));
    for await (const event of eventsOf(response)) if (event.includes("w0")) break;
    await eventually(() => expect(engine.status()).toMatchObject({ active: 0, queued: 0 }));
  });

  it("ends streams in flight when it closes, and its process", async () => {
    const engine = await engineOf({ a: { holdAt: 1 } });
    const response = await engine.respond(ask("a", { stream: true }));
    const pid = pidOf(engine);
    await engine.close();
    const { isDone, error } = await readStream(response);
    expect({ isDone, error }).toMatchObject({ isDone: false, error: { type: "server_error" } });
    expect(await isAlive(pid)).toBe(false);
    await expect(engine.respond(ask("a"))).rejects.toMatchObject({ status: 503 });
  });

  it("does not wait for a model that is being fetched when it closes", async () => {
    const fetching = Promise.withResolvers<void>();
    const engine = await engineOf({ a: {} }, {}, (_model, _port, _key, signal) => {
      fetching.resolve();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    const refusal = expect(engine.respond(ask("a"))).rejects.toMatchObject({ status: 503 });
    await fetching.promise;
    await engine.close();
    await refusal;
  });

  it("loads and unloads by hand", async () => {
    const engine = await engineOf({ a: {} });
    await engine.load("a");
    const pid = pidOf(engine);
    await engine.unload("a");
    expect(await isAlive(pid)).toBe(false);
    expect(engine.logs("a")?.lines().length).toBeGreaterThan(0);
    await expect(engine.unload("nobody")).rejects.toMatchObject({ status: 404 });
    expect((await engine.respond(ask("a"))).status).toBe(200);
  });

  it("has loaded a model by hand when it runs, also where it was loaded and then crashed", async () => {
    const engine = await engineOf({ a: {} });
    await engine.load("a");
    const pid = pidOf(engine);
    process.kill(pid, "SIGKILL");
    await eventually(() => expect(engine.status().details.state).not.toBe("ready"));
    await engine.load("a");
    expect(engine.status()).toMatchObject({ state: "ready", details: { state: "ready", restarts: 1 } });
    expect(await isAlive(pidOf(engine))).toBe(true);
  });

  it("switches between two models 50 times under load: no request lost, no process left", async () => {
    const engine = await engineOf({ a: {}, b: {} }, { memoryBytes: 10 });
    const pids = new Set<number>();
    const serve = async (model: string) => {
      const response = await engine.respond(ask(model, { stream: true }));
      const { isDone, error } = await readStream(response);
      expect({ isDone, error }).toEqual({ isDone: true, error: undefined });
      const { details } = engine.status();
      for (const key of ["a.pid", "b.pid"]) if (typeof details[key] === "number") pids.add(details[key]);
    };
    for (let turn = 0; turn < 50; turn++) {
      const model = turn % 2 === 0 ? "a" : "b";
      await Promise.all([serve(model), serve(model), serve(model)]);
    }
    expect(pids.size).toBe(50);
    await engine.close();
    for (const pid of pids) expect(await isAlive(pid)).toBe(false);
  });
});
