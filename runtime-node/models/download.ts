import { mkdir, open, readFile, rename, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { z } from "zod";
import { modelIdFromSource } from "../../shared/config-source.ts";
import { type UserMachine, userFolder } from "../user-folder.ts";
import { connectionError, DownloadError } from "./download-error.ts";
import { downloadFile, type RemoteFile } from "./download-file.ts";
import { chooseFiles, fileUrl, listFiles, shardOf, treeUrl } from "./download-hub.ts";
import { holdLock } from "./download-lock.ts";
import type { DownloadProgress } from "./download-progress.ts";
import { createAgent, type HubConnection } from "./download-request.ts";
import {
  cacheFolder,
  fileNameOf,
  HUGGING_FACE,
  type ModelSource,
  parseSource,
  shortHash,
} from "./download-source.ts";

export { DownloadError } from "./download-error.ts";
export { createProgressBar, type ProgressBar } from "./download-progress.ts";

export interface ResolveOptions {
  /** Where downloads are kept; left out, `defaultCacheDir()`. */
  readonly cacheDir?: string | undefined;
  /** A hub with Hugging Face's API. */
  readonly endpoint?: string | undefined;
  readonly token?: string | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Pauses between tries that fail without a byte of progress. */
  readonly retryDelaysMs?: readonly number[];
  /** How long a server may keep silent. */
  readonly idleTimeoutMs?: number;
}

export interface ResolvedModel {
  /** The GGUF file; of a model in parts, the first one. */
  readonly path: string;
  /** The name clients use when the configuration gives none. */
  readonly id: string;
}

const DEFAULT_RETRY_DELAYS_MS = [500, 1_000, 2_000, 4_000, 8_000];
const DEFAULT_IDLE_TIMEOUT_MS = 60_000;

/** What a source was when it was fetched; files that are there with these sizes are not checked again. */
const recordSchema = z.object({
  source: z.string(),
  files: z.array(z.object({ path: z.string(), size: z.number(), sha256: z.string() })).min(1),
});
type CacheRecord = z.output<typeof recordSchema>;

/** Where in the cache a source belongs. */
interface Target {
  readonly cacheDir: string;
  /** Relative to the cache, with `/`. */
  readonly folder: string;
  readonly recordPath: string;
}

/**
 * The GGUF file that `source` names: `demo`, a path, a URL, `hf:user/repo[:quant]` or `hf:user/repo/file.gguf`. Fetches
 * it into the cache when it isn't there, going on where an earlier try was cut; once there, it is found without a
 * request. Size and SHA-256 are checked as the hub states them.
 *
 * Rejects with a `DownloadError` that names the URL and the cause, and with the signal's reason when aborted.
 *
 * @example
 * const { path } = await resolveModel("hf:Qwen/Qwen3-0.6B-GGUF:Q8_0", { token });
 */
export async function resolveModel(source: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const cacheDir = resolve(options.cacheDir ?? defaultCacheDir());
  const endpoint = (options.endpoint ?? HUGGING_FACE).replace(/\/+$/, "");
  const parsed = parseSource(source, endpoint);
  const id = modelIdFromSource(source);
  if (parsed.kind === "file") return { path: await checkLocal(parsed.path), id };
  const folder = cacheFolder(parsed);
  const target: Target = {
    cacheDir,
    folder,
    recordPath: join(cacheDir, "sources", `${shortHash(`${folder} ${pickOf(parsed)}`)}.json`),
  };
  const cached = await findCached(target);
  if (cached !== undefined) return { path: cached, id };

  await using _lock = await lockFolder(source, target, options.signal);
  // Whoever held the lock may have fetched the very same.
  return { path: (await findCached(target)) ?? (await fetchModel(parsed, target, endpoint, options)), id };
}

/** Where downloads are kept: the platform's own place for what can be fetched again. */
export function defaultCacheDir(machine?: UserMachine): string {
  return join(userFolder("cache", machine), "models");
}

async function lockFolder(
  source: string,
  { cacheDir, folder }: Target,
  signal: AbortSignal | undefined,
): Promise<AsyncDisposable> {
  try {
    return await holdLock(join(cacheDir, folder, ".lock"), signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw connectionError(source, cause);
  }
}

async function fetchModel(
  source: Exclude<ModelSource, { kind: "file" }>,
  { cacheDir, folder, recordPath }: Target,
  endpoint: string,
  options: ResolveOptions,
): Promise<string> {
  const { token, signal, onProgress, retryDelaysMs = DEFAULT_RETRY_DELAYS_MS } = options;
  const agent = createAgent(options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS);
  try {
    const connection: HubConnection = { endpoint, agent, token, signal, retryDelaysMs };
    const files = await filesOf(source, join(cacheDir, folder), connection);
    const totals = files.map(({ size }) => size);
    const done = files.map(() => 0);
    const record: CacheRecord["files"] = [];
    for (const [index, file] of files.entries()) {
      const { size, sha256 } = await downloadFile(file, {
        connection,
        onBytes(doneBytes, totalBytes) {
          done[index] = doneBytes;
          totals[index] = totalBytes;
          onProgress?.({ url: file.url, doneBytes: sum(done), totalBytes: sumOfKnown(totals) });
        },
      });
      record.push({ path: relative(cacheDir, file.path), size, sha256 });
    }
    await writeRecord(recordPath, { source: `${folder} ${pickOf(source)}`, files: record });
    return join(cacheDir, record[0]?.path ?? "");
  } finally {
    await agent.destroy();
  }
}

async function filesOf(
  source: Exclude<ModelSource, { kind: "file" }>,
  folder: string,
  connection: HubConnection,
): Promise<RemoteFile[]> {
  if (source.kind === "url") {
    const { url, sha256 } = source;
    return [{ url, path: join(folder, fileNameOf(url)), size: undefined, sha256 }];
  }
  const { endpoint } = connection;
  const listed = await listFiles(source.model, connection);
  return chooseFiles(listed, source.model, treeUrl(endpoint, source.model)).map(({ path, size, sha256 }) => ({
    url: fileUrl(endpoint, source.model, path),
    path: join(folder, ...path.split("/")),
    size,
    sha256,
  }));
}

function pickOf(source: Exclude<ModelSource, { kind: "file" }>): string {
  return source.kind === "hub" ? JSON.stringify(source.model.pick ?? null) : "";
}

/** The path from an earlier download, when all its files are there in full. */
async function findCached({ recordPath, cacheDir }: Target): Promise<string | undefined> {
  const record = await readRecord(recordPath);
  if (record === undefined) return undefined;
  for (const { path, size } of record.files) {
    const found = await stat(join(cacheDir, path)).catch(() => undefined);
    if (found?.size !== size) return undefined;
  }
  return join(cacheDir, record.files[0]?.path ?? "");
}

async function readRecord(recordPath: string): Promise<CacheRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(recordPath, "utf8")));
  } catch {
    return undefined; // none, or not ours: fetch again
  }
}

async function writeRecord(recordPath: string, record: CacheRecord): Promise<void> {
  await mkdir(dirname(recordPath), { recursive: true });
  const temporary = `${recordPath}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(record, undefined, 2)}\n`);
  await rename(temporary, recordPath);
}

/** The absolute path of a local GGUF file with all its parts. */
async function checkLocal(source: string): Promise<string> {
  const path = resolve(source);
  await checkGguf(path);
  const shard = shardOf(basename(path));
  if (shard !== undefined) {
    for (let index = 1; index <= shard.count; index++)
      await checkGguf(join(dirname(path), shard.nameOf(index)));
    return join(dirname(path), shard.nameOf(1));
  }
  return path;
}

async function checkGguf(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new DownloadError(
      path,
      "there is no such file that can be read; for a model of the hub write hf:user/repo",
      {
        cause,
      },
    );
  });
  if (found.isDirectory()) throw new DownloadError(path, "it is a folder; name the .gguf file in it");
  const file = await open(path).catch((cause: unknown) => {
    throw new DownloadError(path, "it can't be read; check its permissions", { cause });
  });
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (buffer.toString("latin1", 0, bytesRead) !== "GGUF")
      throw new DownloadError(
        path,
        "it is no GGUF file: it doesn't begin with GGUF; was it downloaded in full?",
      );
  } finally {
    await file.close();
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function sumOfKnown(values: readonly (number | undefined)[]): number | undefined {
  return values.every((value) => value !== undefined) ? sum(values) : undefined;
}
