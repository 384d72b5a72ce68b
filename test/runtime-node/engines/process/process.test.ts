import { createServer } from "node:http";
import { afterAll, describe, expect, it } from "vitest";
import { groupMembers } from "../../../../runtime-node/engines/process-group.ts";
import { eventually } from "../../../harness/wire.ts";
import { fakeCommand } from "./fake-command.ts";
import { fakeProcess, isAlive, removeStateDir } from "./fakes.ts";

afterAll(removeStateDir);

const failureOf = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ name: "EngineStartError" });
  return Object(error).failure;
};

describe("a start", () => {
  it("is ready once one token came back, not when its HTTP side answers", async () => {
    const engine = fakeProcess({ loadMs: 300 });
    const from = performance.now();
    await engine.ensureReady();
    expect(performance.now() - from).toBeGreaterThan(280);
    expect(engine.status()).toMatchObject({ state: "ready", restarts: 0 });
  });

  it("waits while the engine says that it is loading", async () => {
    const engine = fakeProcess({ loadMs: 200, loading: true });
    await engine.ensureReady();
    expect(engine.status().state).toBe("ready");
  });

  it("is one for twenty callers, and goes on when those who asked have left", async () => {
    const engine = fakeProcess({ loadMs: 100 });
    const left = AbortSignal.abort(new Error("the client left"));
    const gone = expect(engine.ensureReady(left)).rejects.toThrow("the client left");
    const running = await Promise.all(Array.from({ length: 20 }, () => engine.ensureReady()));
    await gone;
    expect(new Set(running.map(({ pid }) => pid)).size).toBe(1);
    expect(engine.status().restarts).toBe(0);
  });

  it("tells its stage from the log", async () => {
    const engine = fakeProcess(
      { prints: ["Loading weights: 10%", "Loading weights: 90%"], loadMs: 100 },
      { progressOf: (line) => /Loading weights: \d+%/.exec(line)?.[0] },
    );
    const ready = engine.ensureReady();
    await eventually(() =>
      expect(engine.status()).toMatchObject({ state: "starting", progress: "Loading weights: 90%" }),
    );
    await ready;
    expect(engine.status().progress).toBeUndefined();
  });

  it("may take long as long as it prints, and is ended when it falls silent", async () => {
    const chatty = fakeProcess(
      { prints: Array(12).fill("."), printEveryMs: 200 },
      { limits: { startTimeoutMs: 2000 } },
    );
    await chatty.ensureReady();
    const silent = fakeProcess(
      { loadMs: 10_000 },
      { limits: { startTimeoutMs: 200 }, backoff: { limit: 1 } },
    );
    expect(await failureOf(silent.ensureReady())).toMatchObject({
      kind: "late",
      message: expect.stringContaining("printed nothing for 200 ms"),
    });
    expect(silent.status().state).toBe("stopped");
  });

  it("is ended at its cap whatever it prints", async () => {
    const engine = fakeProcess(
      { prints: Array(1000).fill("."), printEveryMs: 10 },
      { limits: { startCapMs: 300 }, backoff: { limit: 1 } },
    );
    expect(await failureOf(engine.ensureReady())).toMatchObject({
      kind: "late",
      message: expect.stringContaining("within 300 ms"),
    });
  });

  it.each([
    ["a command that is not there", { file: "/nowhere/vllm", args: [] }, "not_found"],
    ["a command that may not be executed", { file: import.meta.filename, args: [] }, "not_executable"],
    ["a shell's missing command", { file: "/bin/sh", args: ["-c", "exit 127"] }, "not_found"],
    ["a build for another processor", { file: "/bin/sh", args: ["-c", "kill -ILL $$"] }, "wrong_machine"],
  ])("fails for good: %s", async (_name, command, kind) => {
    const engine = fakeProcess({}, { command: () => command });
    expect(await failureOf(engine.ensureReady())).toMatchObject({ kind, isPermanent: true });
    expect(await failureOf(engine.ensureReady())).toMatchObject({ kind });
    expect(engine.status()).toMatchObject({ state: "stopped", restarts: 0 });
  });

  it("keeps the first line that tells of an error, and does not try again what can't work", async () => {
    const prints = [
      "INFO starts",
      "ERROR torch.OutOfMemoryError: CUDA out of memory",
      "RuntimeError: Engine core initialization failed. See root cause above.",
    ];
    const engine = fakeProcess({ prints, exit: 1 });
    expect(await failureOf(engine.ensureReady())).toMatchObject({
      kind: "out_of_memory",
      line: prints[1],
      exitCode: 1,
    });
    expect(engine.status()).toMatchObject({
      state: "stopped",
      restarts: 0,
      failure: { kind: "out_of_memory" },
    });
  });

  it("tries again after a crash, each time later, and gives up after a few", async () => {
    const engine = fakeProcess({ exit: 3 }, { backoff: { baseMs: 1, limit: 3, restMs: 60_000 } });
    await failureOf(engine.ensureReady());
    await eventually(() => expect(engine.status()).toMatchObject({ state: "stopped", restarts: 2 }));
    expect(await failureOf(engine.ensureReady())).toMatchObject({ kind: "crashed", exitCode: 3 });
    engine.become({});
    engine.retry();
    await engine.ensureReady();
    expect(engine.status().failure).toBeUndefined();
  });

  it("takes another port when its own was taken in the meantime", async () => {
    const other = createServer((_request, response) => response.end("{}"));
    let taken = 0;
    const engine = fakeProcess(
      {},
      {
        command: async (port) => {
          if (taken === 0) {
            taken = port;
            await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
          }
          return fakeCommand({}, port);
        },
      },
    );
    const { port } = await engine.ensureReady();
    expect(port).not.toBe(taken);
    other.close();
  });

  it("does not take another program's answers for its engine's, which lives on without a socket", async () => {
    const other = createServer((_request, response) => response.end("{}"));
    let taken = 0;
    const engine = fakeProcess(
      {},
      {
        isFatal: (line) => line.includes("Address already in use"),
        command: async (port) => {
          if (taken === 0) {
            taken = port;
            await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
          }
          return fakeCommand({ livesWithoutSocket: true, loadMs: 200 }, port);
        },
      },
    );
    const { port } = await engine.ensureReady();
    expect(port).not.toBe(taken);
    other.close();
  });

  it("reads whatever it prints, in bounded memory", async () => {
    const engine = fakeProcess({ floods: true });
    await engine.ensureReady();
    expect(engine.log.lines().length).toBeLessThanOrEqual(500);
  });

  it("whose command can't be made fails like any other, and is not tried again without a pause", async () => {
    let asked = 0;
    const engine = fakeProcess(
      {},
      {
        command: () => {
          asked++;
          throw new Error("no such model: /models/none");
        },
        backoff: { baseMs: 60_000 },
      },
    );
    expect(await failureOf(engine.ensureReady())).toMatchObject({
      kind: "no_command",
      message: "no such model: /models/none",
    });
    await eventually(() => expect(engine.status().progress).toMatch(/^waits \d+ s after a failure$/));
    expect(asked).toBe(1);
  });

  it("of what Node refuses to start fails like any other", async () => {
    const engine = fakeProcess({}, { command: () => ({ file: `${import.meta.filename}/none`, args: [] }) });
    expect(await failureOf(engine.ensureReady())).toMatchObject({
      kind: "not_executable",
      message: expect.stringContaining("ENOTDIR"),
    });
  });

  it("goes on where it can't be noted for the next sweep, and says so", async () => {
    const engine = fakeProcess({}, { stateDir: `${import.meta.filename}/none` });
    const { pid } = await engine.ensureReady();
    expect(engine.logged.join("\n")).toContain("ENOTDIR");
    await engine.stop();
    expect(await isAlive(pid)).toBe(false);
  });

  it("gives the child what it needs of our environment, and no keys", async () => {
    const env = {
      PATH: process.env.PATH,
      HOME: "/home/x",
      OPENAI_API_KEY: "sk-ours",
      HF_TOKEN: "hf",
      DATABASE_URL: "x",
    };
    const print = "console.log('ENV', JSON.stringify(process.env)); process.exit(1)";
    const engine = fakeProcess(
      {},
      { env, command: () => ({ file: process.execPath, args: ["-e", print] }), backoff: { limit: 1 } },
    );
    await failureOf(engine.ensureReady());
    const line = engine.log.lines().find(({ text }) => text.startsWith("ENV"))?.text ?? "";
    expect(Object.keys(JSON.parse(line.slice(4))).sort()).toEqual([
      "HF_TOKEN",
      "HOME",
      "PATH",
      "SLUICE_ENGINE_TAG",
    ]);
  });

  it("shows no key in its log", async () => {
    const engine = fakeProcess({ prints: ["args: {api_key: 'sk-secret'}"] }, { secrets: ["sk-secret"] });
    await engine.ensureReady();
    expect(JSON.stringify(engine.log.lines())).not.toContain("sk-secret");
  });
});

describe("a stop", () => {
  it("leaves no process behind, and may be asked for twice", async () => {
    const engine = fakeProcess({ grandchild: true }, { limits: { stopMs: 200 } });
    const { pid } = await engine.ensureReady();
    expect(await groupMembers(pid)).toHaveLength(2);
    await Promise.all([engine.stop(), engine.stop()]);
    expect(await groupMembers(pid)).toEqual([]);
    expect(engine.status().state).toBe("stopped");
  });

  it("ends a child that ignores SIGTERM", async () => {
    const engine = fakeProcess({ ignoreTerm: true }, { limits: { stopMs: 100 } });
    const { pid } = await engine.ensureReady();
    await engine.stop();
    expect(await isAlive(pid)).toBe(false);
    expect(engine.log.lines().map(({ text }) => text)).toContain("SIGTERM? no");
  });

  it("ends a grandchild that left the group", async () => {
    const engine = fakeProcess({ grandchild: "own" }, { limits: { stopMs: 100 } });
    await engine.ensureReady();
    const pid = Number(
      /grandchild (\d+)/.exec(
        engine.log
          .lines()
          .map(({ text }) => text)
          .join("\n"),
      )?.[1],
    );
    expect(await isAlive(pid)).toBe(true);
    await engine.stop();
    await eventually(async () => expect(await isAlive(pid)).toBe(false));
  });

  it("ends a start, whose waiters are told", async () => {
    const engine = fakeProcess({ loadMs: 60_000 });
    const waiting = engine.ensureReady();
    await eventually(() => expect(engine.log.lines().length).toBeGreaterThan(1));
    const stopped = engine.stop();
    expect(engine.status().state).toBe("stopping");
    await expect(waiting).rejects.toThrow("was stopped while it started");
    await stopped;
    expect(engine.status()).toMatchObject({ state: "stopped", restarts: 0 });
  });

  it("is finished before the next start begins", async () => {
    const engine = fakeProcess({});
    const first = await engine.ensureReady();
    const stopped = engine.stop();
    const second = await engine.ensureReady();
    await stopped;
    expect(second.pid).not.toBe(first.pid);
    expect(await isAlive(first.pid)).toBe(false);
    expect(engine.status().state).toBe("ready");
  });

  it("of a start does not end the start that is asked for after it", async () => {
    const engine = fakeProcess({ loadMs: 60_000 });
    const waiting = engine.ensureReady();
    await eventually(() => expect(engine.log.lines().length).toBeGreaterThan(1));
    const stopped = engine.stop();
    engine.become({});
    const next = engine.ensureReady();
    await expect(waiting).rejects.toThrow("was stopped while it started");
    await stopped;
    expect(await isAlive((await next).pid)).toBe(true);
  });

  it("is for good after close", async () => {
    const engine = fakeProcess({});
    await engine.ensureReady();
    await engine.close();
    await expect(engine.ensureReady()).rejects.toThrow("closed");
  });
});

describe("a running engine", () => {
  it("that is killed is started again", async () => {
    const engine = fakeProcess({});
    const first = await engine.ensureReady();
    process.kill(first.pid, "SIGKILL");
    await eventually(() => expect(first.signal.aborted).toBe(true));
    const second = await engine.ensureReady();
    expect(second.pid).not.toBe(first.pid);
    expect(await (await engine.chat()).json()).toMatchObject({ pid: second.pid });
    expect(engine.status()).toMatchObject({ state: "ready", restarts: 1 });
  });

  it("that crashes takes its grandchildren with it, though they hold its pipes", async () => {
    const engine = fakeProcess({ grandchild: true }, { limits: { stopMs: 200 } });
    const first = await engine.ensureReady();
    process.kill(first.pid, "SIGKILL");
    await eventually(() => expect(engine.status()).toMatchObject({ state: "ready", restarts: 1 }));
    expect(await groupMembers(first.pid)).toEqual([]);
  });

  it.each([
    ["whose work thread is dead", (engine: ReturnType<typeof fakeProcess>) => engine.tell("/die")],
    [
      "that closed its socket and lives on",
      (engine: ReturnType<typeof fakeProcess>) => engine.tell("/close-socket"),
    ],
    [
      "that hangs (SIGSTOP)",
      async (engine: ReturnType<typeof fakeProcess>) =>
        void process.kill(engine.status().pid ?? 0, "SIGSTOP"),
    ],
  ])("%s is started again", async (_name, spoil) => {
    const engine = fakeProcess({});
    const first = await engine.ensureReady();
    await spoil(engine);
    await eventually(() => expect(engine.status()).toMatchObject({ state: "ready", restarts: 1 }));
    expect(await isAlive(first.pid)).toBe(false);
    expect(engine.logged.join("\n")).toContain('"kind":"hung"');
  });

  it("that prints that its thread died is started again at once", async () => {
    const says = "Exception in thread Thread-1 (_generate):";
    const engine = fakeProcess(
      { says },
      { isFatal: (line) => line.includes("Exception in thread"), limits: { canaryMs: 60_000 } },
    );
    await engine.ensureReady();
    await engine.tell("/die").catch(() => {}); // It may be killed before it has answered.
    await eventually(() => expect(engine.status()).toMatchObject({ state: "ready", restarts: 1 }));
    expect(engine.logged.join("\n")).toContain(says);
  });

  it("that streams is left alone while bytes come, and looked at when they stop", async () => {
    const engine = fakeProcess({});
    const { workload, pid } = await engine.ensureReady();
    const work = workload.begin("stream");
    process.kill(pid, "SIGSTOP");
    for (let i = 0; i < 20; i++) {
      work.sign();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(engine.status()).toMatchObject({ state: "ready", restarts: 0 });
    await eventually(() => expect(engine.status()).toMatchObject({ state: "ready", restarts: 1 }));
    work.end();
  });
});
