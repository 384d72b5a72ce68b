import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DownloadError, defaultCacheDir, resolveModel } from "../../../runtime-node/models/download.ts";
import { downloadFile } from "../../../runtime-node/models/download-file.ts";
import { createAgent } from "../../../runtime-node/models/download-request.ts";
import { fakeGguf, type Hub, type HubFileEntry, sha256, startHub } from "./hub.ts";

const SMALL = fakeGguf(100_000);
const LARGE = fakeGguf(1_000_000);
const NO_RETRY: readonly number[] = [];
const AT_ONCE = [0, 0];

let cacheDir: string;
let hub: Hub;

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "sluice-models-"));
});

afterEach(async () => {
  await hub?.close();
  await rm(cacheDir, { recursive: true, force: true });
});

async function serve(files: Record<string, HubFileEntry>, revision = "main"): Promise<void> {
  hub = await startHub({ [`user/repo-GGUF@${revision}`]: files });
}

function resolveFrom(source: string, options: Parameters<typeof resolveModel>[1] = {}) {
  return resolveModel(source, { cacheDir, endpoint: hub.url, retryDelaysMs: NO_RETRY, ...options });
}

async function failureOf(promise: Promise<unknown>): Promise<DownloadError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DownloadError);
  return error as DownloadError;
}

/** Names of all model files and unfinished ones in the cache. */
async function cachedFiles(): Promise<string[]> {
  const entries = await readdir(cacheDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.(gguf|part|lock)$/.test(entry.name))
    .map(({ name }) => name);
}

describe("a model of the hub", () => {
  test("is downloaded whole, with progress to the last byte", async () => {
    await serve({ "repo-Q8_0.gguf": { content: LARGE } });
    const seen: (number | undefined)[][] = [];
    const { path, id } = await resolveFrom("hf:user/repo-GGUF:Q8_0", {
      onProgress: ({ doneBytes, totalBytes }) => seen.push([doneBytes, totalBytes]),
    });
    expect(id).toBe("user/repo-GGUF:Q8_0");
    expect(await readFile(path)).toEqual(LARGE);
    expect(seen[0]).toEqual([0, LARGE.length]);
    expect(seen.at(-1)).toEqual([LARGE.length, LARGE.length]);
  });

  test("is taken from the cache the second time, without a request", async () => {
    await serve({ "repo-Q8_0.gguf": { content: SMALL } });
    const first = await resolveFrom("hf:user/repo-GGUF:Q8_0");
    await hub.close();
    expect(await resolveFrom("hf:user/repo-GGUF:Q8_0")).toEqual(first);
    expect(hub.storageRequests()).toHaveLength(1);
  });

  test("is fetched once when two sources name the same file", async () => {
    await serve({ "repo-Q8_0.gguf": { content: SMALL } });
    const byQuant = await resolveFrom("hf:user/repo-GGUF:Q8_0");
    const byFile = await resolveFrom("hf:user/repo-GGUF/repo-Q8_0.gguf");
    expect(byFile).toEqual({ path: byQuant.path, id: "repo-Q8_0" });
    expect(hub.storageRequests()).toHaveLength(1);
  });

  test("is fetched again when its file in the cache has lost bytes", async () => {
    await serve({ "repo-Q8_0.gguf": { content: SMALL } });
    const { path } = await resolveFrom("hf:user/repo-GGUF:Q8_0");
    await writeFile(path, SMALL.subarray(0, 5_000));
    await resolveFrom("hf:user/repo-GGUF:Q8_0");
    expect(await readFile(path)).toEqual(SMALL);
  });

  test("comes from the branch that is named", async () => {
    await serve({ "folder/repo-Q4_0.gguf": { content: SMALL } }, "refs/pr/1");
    const { path } = await resolveFrom("hf:user/repo-GGUF/folder/repo-Q4_0.gguf#refs/pr/1");
    expect(await readFile(path)).toEqual(SMALL);
  });

  test("is fetched in all its parts, and the first is what to load", async () => {
    const parts = [fakeGguf(50_000), fakeGguf(60_000), fakeGguf(70_000)];
    const name = (index: number) => `Q4_K_M/repo-Q4_K_M-0000${index}-of-00003.gguf`;
    await serve(Object.fromEntries(parts.map((content, index) => [name(index + 1), { content }])));
    let last: unknown;
    const { path } = await resolveFrom("hf:user/repo-GGUF:Q4_K_M", {
      onProgress: ({ doneBytes, totalBytes }) => {
        last = { doneBytes, totalBytes };
      },
    });
    expect(path.endsWith("repo-Q4_K_M-00001-of-00003.gguf")).toBe(true);
    for (const [index, content] of parts.entries()) {
      expect(await readFile(path.replace("00001-of", `0000${index + 1}-of`))).toEqual(content);
    }
    expect(last).toEqual({ doneBytes: 180_000, totalBytes: 180_000 });
  });

  test("is found behind the address that the browser shows", async () => {
    await serve({ "repo-Q8_0.gguf": { content: SMALL } });
    const { path, id } = await resolveFrom(`${hub.url}/user/repo-GGUF/blob/main/repo-Q8_0.gguf`);
    expect(await readFile(path)).toEqual(SMALL);
    expect(id).toBe("repo-Q8_0");
  });
});

describe("the quantization", () => {
  const cases: [asked: string, files: string[], taken: string][] = [
    [":q8_0", ["m-Q4_K_M.gguf", "m-Q8_0.gguf"], "m-Q8_0.gguf"],
    [":Q4_K", ["m-Q4_K_M.gguf", "m-Q4_K.gguf"], "m-Q4_K.gguf"],
    [":Q4_K_XL", ["m-UD-Q4_K_XL.gguf", "m-Q4_K_M.gguf"], "m-UD-Q4_K_XL.gguf"],
    [":F16", ["mmproj-m-F16.gguf", "m-F16.gguf"], "m-F16.gguf"],
    ["", ["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-Q2_K.gguf"], "m-Q4_K_M.gguf"],
    ["", ["m.gguf"], "m.gguf"],
  ];
  test.each(cases)("hf:user/repo-GGUF%s of %j is %s", async (asked, files, taken) => {
    await serve(Object.fromEntries(files.map((name) => [name, { content: SMALL }])));
    const { path } = await resolveFrom(`hf:user/repo-GGUF${asked}`);
    expect(path.endsWith(`/${taken}`)).toBe(true);
  });

  test("that is not there gets an error with those that are", async () => {
    await serve({ "m-Q4_K_M.gguf": { content: SMALL }, "m-Q8_0.gguf": { content: SMALL } });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q5_0"));
    expect(error.message).toMatch(/Q5_0.*m-Q4_K_M\.gguf, m-Q8_0\.gguf/);
  });
});

describe("a cut connection", () => {
  test("is taken up where it broke, by itself", async () => {
    await serve({ "m-Q8_0.gguf": { content: LARGE } });
    const cut = { kind: "cut", afterBytes: 300_000 } as const;
    hub.addFault("@main/m-Q8_0.gguf", cut, cut, cut);
    const { path } = await resolveFrom("hf:user/repo-GGUF:Q8_0", { retryDelaysMs: AT_ONCE });
    expect(await readFile(path)).toEqual(LARGE);
    expect(hub.storageRequests()).toHaveLength(4);
  });

  test("costs no byte twice: the next process asks for the rest", async () => {
    await serve({ "m-Q8_0.gguf": { content: LARGE } });
    hub.addFault("@main/m-Q8_0.gguf", { kind: "cut", afterBytes: 300_000 });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    expect(error.url).toBe(`${hub.url}/user/repo-GGUF/resolve/main/m-Q8_0.gguf`);
    expect(error.message).toContain("cut the connection");
    const [part] = await cachedFiles();
    expect(part).toMatch(/\.part$/);

    const { path } = await resolveFrom("hf:user/repo-GGUF:Q8_0");
    expect(await readFile(path)).toEqual(LARGE);
    const [, second] = hub.storageRequests();
    const start = Number(/^bytes=(\d+)-$/.exec(second?.range ?? "")?.[1]);
    expect(start).toBeGreaterThan(0);
    expect(second?.sentBytes).toBe(LARGE.length - start);
    expect(await cachedFiles()).toEqual(["m-Q8_0.gguf"]);
  });

  test("gives up after the last try that brought nothing", async () => {
    await serve({ "m-Q8_0.gguf": { content: LARGE } });
    const nothing = { kind: "cut", afterBytes: 0 } as const;
    hub.addFault("@main/m-Q8_0.gguf", nothing, nothing, nothing, nothing);
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0", { retryDelaysMs: AT_ONCE }));
    expect(error.message).toContain("cut the connection");
    expect(hub.storageRequests()).toHaveLength(3);
  });

  test("is noticed when the server only falls silent", async () => {
    await serve({ "m-Q8_0.gguf": { content: LARGE } });
    hub.addFault("@main/m-Q8_0.gguf", { kind: "stall", afterBytes: 1_000 });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0", { idleTimeoutMs: 50 }));
    expect(error.message).toContain("stopped sending");
  });
});

describe("what arrives is checked", () => {
  test("a wrong hash is an error with both, and leaves nothing behind", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL, claimedSha256: "ab".repeat(32) } });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    expect(error.message).toContain(sha256(SMALL));
    expect(error.message).toContain("ab".repeat(32));
    expect(await cachedFiles()).toEqual([]);
  });

  test("a damaged part is found out, and the try after it begins anew", async () => {
    await serve({ "m-Q8_0.gguf": { content: LARGE } });
    hub.addFault("@main/m-Q8_0.gguf", { kind: "cut", afterBytes: 300_000 });
    await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    const folder = join(cacheDir, "hf/user/repo-GGUF/main");
    const [part = ""] = (await readdir(folder)).filter((name) => name.endsWith(".part"));
    await writeFile(join(folder, part), "GGUFjunk");
    await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    const { path } = await resolveFrom("hf:user/repo-GGUF:Q8_0");
    expect(await readFile(path)).toEqual(LARGE);
  });

  test("a size other than the hub's is an error with both", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL, claimedSize: 99_000 } });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    expect(error.message).toMatch(/100000 bytes.*99000/);
    expect(await cachedFiles()).toEqual([]);
  });

  test("a page instead of a model is an error that shows its beginning", async () => {
    hub = await startHub({}, { "model.gguf": { content: Buffer.from("<!doctype html><p>Please log in") } });
    const error = await failureOf(resolveFrom(`${hub.url}/plain/model.gguf`));
    expect(error.message).toContain('no GGUF file: it begins "<!doctype html>');
    expect(await cachedFiles()).toEqual([]);
  });

  test("a model larger than the disk is refused before a byte is fetched", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL, claimedSize: 1e18 } });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    expect(error.message).toMatch(/1000000000000 MB are needed in .* MB are free/);
    expect(hub.storageRequests()).toEqual([]);
  });
});

describe("what can't be had gets an error that names the URL and the cause", () => {
  test("a repository that doesn't exist", async () => {
    await serve({});
    const error = await failureOf(resolveFrom("hf:user/other:Q8_0"));
    expect(error.url).toBe(`${hub.url}/api/models/user/other/tree/main?recursive=true`);
    expect(error.message).toContain(error.url);
    expect(error.message).toContain("HTTP 404");
  });

  test("a gated model, with the server's own words and what to do", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL } });
    const headers = { "x-error-message": "Access to model user/repo-GGUF is restricted" };
    hub.addFault("resolve/main/m-Q8_0.gguf", { kind: "status", status: 403, headers });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    expect(error.message).toContain("HTTP 403");
    expect(error.message).toContain("Access to model user/repo-GGUF is restricted");
    expect(error.message).toContain("HF_TOKEN");
  });

  test("storage that refuses, without the signed address", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL } });
    hub.addFault("@main/m-Q8_0.gguf", { kind: "status", status: 403 });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    expect(error.url).toBe(`${hub.url}/user/repo-GGUF/resolve/main/m-Q8_0.gguf`);
    expect(error.message).toContain("redirected to 127.0.0.1");
    expect(error.message).not.toContain("secret");
  });

  test("a hub that is not there", async () => {
    await serve({});
    const { url } = hub;
    await hub.close();
    // No pause could end within the test's time: what can't be reached is told at once.
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0", { retryDelaysMs: [1e9] }));
    expect(error.message).toContain(url);
    expect(error.message).toContain("refused the connection (ECONNREFUSED)");
    expect(error.cause).toBeDefined();
  });

  test("a host without an address", async () => {
    await serve({});
    const error = await failureOf(resolveFrom("https://models.invalid/model.gguf"));
    expect(error.message).toContain("https://models.invalid/model.gguf");
    expect(error.message).toMatch(/no address is known for models\.invalid|can't be reached|HTTP \d+/);
  });

  test("an endpoint that is no hub", async () => {
    hub = await startHub({}, {});
    hub.addFault("/tree/main", { kind: "status", status: 200 });
    const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
    expect(error.message).toContain("HF_ENDPOINT");
  });

  test.each(["hf:user", "hf:user/repo/model.safetensors", "hf:../repo"])("%s", async (source) => {
    await serve({});
    const error = await failureOf(resolveFrom(source));
    expect(error.message).toContain(`can't get ${source}: allowed are`);
    expect(hub.requests).toEqual([]);
  });

  test("a server that is busy for a moment is asked again", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL } });
    hub.addFault("/tree/main", { kind: "status", status: 503 });
    hub.addFault("@main/m-Q8_0.gguf", { kind: "status", status: 500 }, { kind: "status", status: 429 });
    const { path } = await resolveFrom("hf:user/repo-GGUF:Q8_0", { retryDelaysMs: AT_ONCE });
    expect(await readFile(path)).toEqual(SMALL);
  });
});

test("the token goes to the hub, never to its storage", async () => {
  await serve({ "m-Q8_0.gguf": { content: SMALL } });
  await resolveFrom("hf:user/repo-GGUF:Q8_0", { token: "hf_secret" });
  const byPath = hub.requests.map(({ path, authorization }) => [path.startsWith("/storage/"), authorization]);
  expect(byPath).toEqual([
    [false, "Bearer hf_secret"],
    [false, "Bearer hf_secret"],
    [true, undefined],
  ]);
});

test("a file list can't lead out of the cache", async () => {
  await serve({ "../../evil-Q8_0.gguf": { content: SMALL } });
  const error = await failureOf(resolveFrom("hf:user/repo-GGUF:Q8_0"));
  expect(error.message).toContain("has no GGUF file");
});

describe("a plain URL", () => {
  test("is downloaded once", async () => {
    hub = await startHub({}, { "my model.gguf": { content: SMALL } });
    const source = `${hub.url}/plain/my%20model.gguf`;
    const { path, id } = await resolveFrom(source);
    expect(await readFile(path)).toEqual(SMALL);
    await resolveFrom(source);
    expect(hub.requests).toHaveLength(1);
    expect(id).toBe("my%20model");
  });

  test("is checked against the hash in it", async () => {
    hub = await startHub({}, { "model.gguf": { content: SMALL } });
    const { path } = await resolveFrom(`${hub.url}/plain/model.gguf#sha256=${sha256(SMALL)}`);
    expect(await readFile(path)).toEqual(SMALL);
    const error = await failureOf(resolveFrom(`${hub.url}/plain/model.gguf#sha256=${"0".repeat(64)}`));
    expect(error.message).toContain(`expected ${"0".repeat(64)}`);
  });

  test("begins anew when the file there has changed since the cut", async () => {
    const plain = { "model.gguf": { content: LARGE } };
    hub = await startHub({}, plain);
    hub.addFault("/plain/model.gguf", { kind: "cut", afterBytes: 300_000 });
    await failureOf(resolveFrom(`${hub.url}/plain/model.gguf`));
    plain["model.gguf"].content = fakeGguf(900_000);
    const { path } = await resolveFrom(`${hub.url}/plain/model.gguf`);
    expect(await readFile(path)).toEqual(plain["model.gguf"].content);
  });

  test("is not continued where nothing tells whether it is still the same file", async () => {
    const plain = { "model.gguf": { content: LARGE, headers: {} } };
    hub = await startHub({}, plain);
    hub.addFault("/plain/model.gguf", { kind: "cut", afterBytes: 300_000 });
    const changed = fakeGguf(LARGE.length);
    const { path } = await resolveFrom(`${hub.url}/plain/model.gguf`, {
      retryDelaysMs: AT_ONCE,
      onProgress: ({ doneBytes }) => {
        if (doneBytes > 0) plain["model.gguf"].content = changed;
      },
    });
    expect((await readFile(path)).equals(changed)).toBe(true);
  });

  test("is fetched whole from a server that knows no ranges", async () => {
    hub = await startHub({}, { "model.gguf": { content: LARGE, ignoresRange: true } });
    hub.addFault("/plain/model.gguf", { kind: "cut", afterBytes: 300_000 });
    const { path } = await resolveFrom(`${hub.url}/plain/model.gguf`, { retryDelaysMs: AT_ONCE });
    expect(await readFile(path)).toEqual(LARGE);
  });
});

describe("several at once", () => {
  test("two that want the same model fetch it once", async () => {
    await serve({ "m-Q8_0.gguf": { content: LARGE } });
    const [first, second] = await Promise.all([
      resolveFrom("hf:user/repo-GGUF:Q8_0"),
      resolveFrom("hf:user/repo-GGUF:Q8_0"),
    ]);
    expect(first).toEqual(second);
    expect(await readFile(first.path)).toEqual(LARGE);
    expect(hub.storageRequests()).toHaveLength(1);
  });

  test("the lock of a process that has died is taken over", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL } });
    const lock = join(cacheDir, "hf/user/repo-GGUF/main/.lock");
    await mkdir(dirname(lock), { recursive: true });
    // Process ids end far below this on every system.
    await writeFile(lock, JSON.stringify({ pid: 2 ** 30, host: hostname() }));
    const { path } = await resolveFrom("hf:user/repo-GGUF:Q8_0");
    expect(await readFile(path)).toEqual(SMALL);
    expect(existsSync(lock)).toBe(false);
  });
});

describe("an abort", () => {
  test("ends the download with its reason and keeps what has arrived", async () => {
    await serve({ "m-Q8_0.gguf": { content: LARGE } });
    hub.addFault("@main/m-Q8_0.gguf", { kind: "stall", afterBytes: 300_000 });
    const controller = new AbortController();
    const arrived = Promise.withResolvers<void>();
    const pending = resolveFrom("hf:user/repo-GGUF:Q8_0", {
      signal: controller.signal,
      onProgress: ({ doneBytes }) => doneBytes === 300_000 && arrived.resolve(),
    });
    await arrived.promise;
    controller.abort(new Error("stopped by the user"));
    await expect(pending).rejects.toThrow("stopped by the user");
    expect(await cachedFiles()).toEqual([expect.stringMatching(/\.part$/)]);
    await resolveFrom("hf:user/repo-GGUF:Q8_0");
    expect(hub.storageRequests().at(-1)?.range).toBe("bytes=300000-");
  });

  test.each(["model.gguf", `model.gguf.${"0".repeat(12)}.part`])(
    "ends the check of what is there: %s",
    async (name) => {
      hub = await startHub({});
      // A hole, that takes no room and hours to read.
      await writeFile(join(cacheDir, name), "GGUF");
      await truncate(join(cacheDir, name), 2 ** 42);
      const file = {
        url: `${hub.url}/plain/model.gguf`,
        path: join(cacheDir, "model.gguf"),
        size: 2 ** 42,
        sha256: "0".repeat(64),
      };
      const abort = new AbortController();
      const agent = createAgent(1000);
      const connection = { endpoint: hub.url, agent, signal: abort.signal, retryDelaysMs: NO_RETRY };
      const checking = downloadFile(file, { connection, onBytes: () => {} });
      setImmediate(() => abort.abort(new Error("stopped")));
      await expect(checking).rejects.toThrow("stopped");
      await agent.destroy();
    },
  );

  test("ends the wait for another process", async () => {
    await serve({ "m-Q8_0.gguf": { content: SMALL } });
    const lock = join(cacheDir, "hf/user/repo-GGUF/main/.lock");
    await mkdir(dirname(lock), { recursive: true });
    await writeFile(lock, JSON.stringify({ pid: process.pid, host: "elsewhere" }));
    const signal = AbortSignal.abort(new Error("stopped by the user"));
    await expect(resolveFrom("hf:user/repo-GGUF:Q8_0", { signal })).rejects.toThrow("stopped by the user");
  });
});

describe("a local file", () => {
  beforeEach(async () => {
    await serve({});
  });

  test("is used where it is, under its name", async () => {
    const path = join(cacheDir, "My-Model.Q4_0.gguf");
    await writeFile(path, SMALL);
    expect(await resolveFrom(path)).toEqual({ path, id: "My-Model.Q4_0" });
  });

  test("the demo model is there", async () => {
    const { path, id } = await resolveFrom("demo");
    expect(existsSync(path)).toBe(true);
    expect(id).toBe("sluice-demo");
  });

  test("that is missing, a folder, no GGUF, or without one of its parts is an error with its path", async () => {
    const text = join(cacheDir, "notes.gguf");
    await writeFile(text, "hello");
    const shard = join(cacheDir, "m-00001-of-00002.gguf");
    await writeFile(shard, SMALL);
    const cases = [
      [join(cacheDir, "none.gguf"), "no such file"],
      [cacheDir, "a folder"],
      [text, "no GGUF file"],
      [shard, "m-00002-of-00002.gguf"],
    ] as const;
    for (const [path, words] of cases) expect((await failureOf(resolveFrom(path))).message).toContain(words);
  });
});

test("the default cache is where the platform keeps such things", () => {
  const home = "/home/me";
  expect(defaultCacheDir({ env: {}, platform: "linux", home })).toBe(join(home, ".cache/sluice/models"));
  expect(defaultCacheDir({ env: { XDG_CACHE_HOME: "/x" }, platform: "linux", home })).toBe(
    join("/x/sluice/models"),
  );
  expect(defaultCacheDir({ env: {}, platform: "darwin", home })).toBe(
    join(home, "Library/Caches/sluice/models"),
  );
  expect(defaultCacheDir({ env: { LOCALAPPDATA: "/l" }, platform: "win32", home })).toBe(
    join("/l/sluice/models"),
  );
});
