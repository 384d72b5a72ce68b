import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { type MockOptions, startMock } from "../../loadtest/mock.ts";
import { requestRecordSchema } from "../../loadtest/record.ts";
import { resultSchema } from "../../loadtest/result.ts";

const MAIN = fileURLToPath(new URL("../../loadtest/main.ts", import.meta.url));
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "loadtest-"));
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function loadtest(args: readonly string[], prepare?: (child: ChildProcess) => void): Promise<Ended> {
  return command(process.execPath, [MAIN, ...args], prepare);
}

async function command(file: string, args: readonly string[], prepare?: (child: ChildProcess) => void) {
  const child = spawn(file, args, { env: { ...process.env, XDG_CACHE_HOME: home, NO_COLOR: "1" } });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  prepare?.(child);
  return new Promise<Ended>((ended) => child.once("close", (code) => ended({ code, out, err })));
}

async function withMock<T>(options: MockOptions, use: (url: string) => Promise<T>): Promise<T> {
  const mock = await startMock(options);
  try {
    return await use(mock.url);
  } finally {
    await mock.close();
  }
}

async function resultIn(folder: string) {
  return resultSchema.parse(JSON.parse(await readFile(join(folder, "result.json"), "utf8")));
}

test("a reader that leaves early, such as head, breaks nothing", async () => {
  const out = join(home, "head");
  const { code, err } = await withMock({}, (url) =>
    loadtest(["rate", url, "--rps", "20", "--requests", "1", "--quiet", "--out", out], (child) => {
      child.stdout?.destroy();
    }),
  );
  expect(err).not.toContain("EPIPE");
  expect(code).toBe((await resultIn(out)).exitCode);
});

describe("the exit code", () => {
  test("is 2 for a wrong flag, and for a file that can't be used", async () => {
    const flag = await loadtest(["run", "--users", "0"]);
    expect(flag).toMatchObject({ code: 2, err: expect.stringMatching(/--users/) });
    const file = await loadtest(["replay", "--file", MAIN]);
    expect(file).toMatchObject({ code: 2, err: expect.stringMatching(/main\.ts:1/) });
    const mock = await loadtest(["mock", "--tokens", "2", "--reasoning", "5"]);
    expect(mock).toMatchObject({ code: 2, err: expect.stringMatching(/--reasoning 5/) });
    const out = join(MAIN, "out");
    const folder = await withMock({}, (url) =>
      loadtest(["rate", url, "--rps", "20", "--requests", "1", "--quiet", "--out", out]),
    );
    expect(folder).toMatchObject({ code: 2, err: expect.stringContaining(out) });
  });

  test("is 4 where the server is down at the start", async () => {
    const mock = await startMock();
    await mock.close();
    const { code, err } = await loadtest(["run", mock.url]);
    expect(err).toMatch(/is the server up/);
    expect(code).toBe(4);
  });

  test("is 130 after an interrupt, with the report written", async () => {
    const out = join(home, "interrupted");
    const { code } = await withMock({ ttftMs: 5 }, (url) =>
      loadtest(["rate", url, "--rps", "20", "--time", "60s", "--warmup", "10ms", "--out", out], (child) => {
        // The first line of progress comes after five seconds of load.
        child.stderr?.once("data", () => child.kill("SIGINT"));
      }),
    );
    expect(code).toBe(130);
    const result = await resultIn(out);
    expect(result.wasInterrupted).toBe(true);
    expect(result.aggregated.requests).toBeGreaterThan(20);
    expect(await readFile(join(out, "report.html"), "utf8")).toContain("<html");
  });

  test("is 3 where the system refused the client files: the run says nothing about the server", async () => {
    const out = join(home, "refused");
    const args = `"${process.execPath}" "${MAIN}" rate "$1" --rps 400 --arrivals constant --requests 200 --out "${out}" --quiet`;
    const { code, out: text } = await withMock({ ttftMs: 2000 }, (url) =>
      command("/bin/sh", ["-c", `ulimit -n 100; exec ${args}`, "sh", url]),
    );
    const result = await resultIn(out);
    expect(result.aggregated.failuresByKind.client_limit).toBeGreaterThan(0);
    expect(text).toMatch(/client errors/);
    expect(code).toBe(3);
  });
});

describe("a run", () => {
  test("leaves a folder from which everything can be made again", async () => {
    const out = join(home, "rate");
    await withMock({ ttftMs: 5, tokens: 4 }, (url) =>
      loadtest(["rate", `${url}/v1`, "--rps", "50", "--requests", "60", "--out", out, "--quiet", "--json"]),
    );
    const result = await resultIn(out);
    expect(result.plan).toMatchObject({ model: "mock", requests: 60, load: { arrivals: "poisson" } });
    expect(result.aggregated).toMatchObject({ requests: 60, failures: 0, tokenSource: "continuous" });
    const lines = (await readFile(join(out, "requests.jsonl"), "utf8")).trim().split("\n");
    const records = lines.map((line) => requestRecordSchema.parse(JSON.parse(line)));
    expect(records.map(({ n }) => n).sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, n) => n));
    expect(await readFile(join(out, "stats.csv"), "utf8")).toContain("Aggregated");
  });

  test("replays conversations turn by turn, with the server's own answers in between", async () => {
    const file = join(home, "trace.jsonl");
    const turns = ["Hello", "And then?", "Really?"];
    await writeFile(
      file,
      `${JSON.stringify({ timestamp: 5000, prompt: "Hi", max_tokens: 3 })}\n${JSON.stringify({ timestamp: 5100, turns, max_tokens: 2 })}\n`,
    );
    const out = join(home, "replay");
    const { code, err } = await withMock({ tokens: 8 }, (url) =>
      loadtest([
        "replay",
        url,
        "--file",
        file,
        "--speed",
        "2x",
        "--prefix-groups",
        "2:20",
        "--out",
        out,
        "--quiet",
      ]),
    );
    expect(err).toBe("");
    expect([0, 3]).toContain(code);
    const result = await resultIn(out);
    expect(result.aggregated).toMatchObject({ requests: 4, failures: 0, finishReasons: { length: 4 } });
    expect(result.aggregated.tokens.completion).toBe(3 + 3 * 2);
  });

  test("replays a trace twice as fast with half the think times", async () => {
    const file = join(home, "thinking.jsonl");
    const [thinkMs, speed] = [4000, 40];
    await writeFile(file, JSON.stringify({ timestamp: 0, turns: ["a", "b"], think_ms: thinkMs }));
    const out = join(home, "thinking");
    await withMock({ tokens: 1 }, (url) =>
      loadtest(["replay", url, "--file", file, "--speed", `${speed}x`, "--out", out, "--quiet"]),
    );
    const lines = (await readFile(join(out, "requests.jsonl"), "utf8")).trim().split("\n");
    const [first, second] = lines.map((line) => requestRecordSchema.parse(JSON.parse(line)));
    const thoughtMs = (second?.intended ?? 0) - (first?.end ?? 0);
    expect(thoughtMs).toBeGreaterThanOrEqual(thinkMs / speed - 0.01);
    expect(thoughtMs).toBeLessThan(thinkMs);
  });

  test("a sweep over rates says at each step what was really sent", async () => {
    const out = join(home, "rates");
    const flags = ["--rps", "20..21", "--arrivals", "constant", "--time", "1s", "--out", out, "--quiet"];
    await withMock({ tokens: 1 }, (url) => loadtest(["sweep", url, ...flags]));
    const [point] = (await resultIn(out)).sweep?.points ?? [];
    expect((point?.achieved ?? 0) / (point?.load ?? 1)).toBeCloseTo(1, 0);
  });

  test("a sweep finds the highest concurrency that holds, and keeps every step", async () => {
    const out = join(home, "sweep");
    const slo = ["--slo", "success=95%"];
    await withMock({ ttftMs: 5, tokens: 2 }, (url) =>
      loadtest(["sweep", url, "--concurrency", "1,2", "--time", "1s", ...slo, "--out", out, "--quiet"]),
    );
    const { sweep, plan } = await resultIn(out);
    expect(plan.load).toEqual({ kind: "sweep", over: "concurrency", loads: [1, 2] });
    expect(sweep?.points.map(({ load }) => load)).toContain(1);
    for (const point of sweep?.points ?? []) expect(point.requests).toBeGreaterThan(0);
  });
});
