import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from "node:fs/promises";
import { dirname } from "node:path";
import { connectionError, DownloadError } from "./download-error.ts";
import { first, get, type HubConnection, type HubResponse, retrying } from "./download-request.ts";

export interface RemoteFile {
  readonly url: string;
  /** Where it belongs. It appears there whole and checked, or not at all. */
  readonly path: string;
  /** In bytes, when known beforehand. */
  readonly size: number | undefined;
  readonly sha256: string | undefined;
}

export interface TransferOptions {
  readonly connection: HubConnection;
  /** `totalBytes` is undefined until the server has told. */
  onBytes(doneBytes: number, totalBytes: number | undefined): void;
}

const GGUF_MAGIC = "GGUF";

/** What is known of a part file: it may only be continued with bytes of the same version. */
interface PartState {
  /** `etag` or `last-modified`, as `if-range` takes it. */
  readonly validator: string;
}

/** A file that is being fetched. */
interface Part {
  readonly handle: FileHandle;
  hash: Hash;
  /** Bytes that are written and hashed. */
  offset: number;
  size: number | undefined;
  validator: string | undefined;
}

/**
 * Fetches one GGUF file and checks its size and hash. What has arrived stays beside it as a `.part` file, from which
 * the next try goes on, in this process or a later one. Only one process at a time may do this for one path.
 *
 * Resolves with what it is. Rejects with a `DownloadError`, or with the signal's reason when aborted.
 */
export async function downloadFile(
  file: RemoteFile,
  options: TransferOptions,
): Promise<{ size: number; sha256: string }> {
  const partPath =
    file.sha256 === undefined ? `${file.path}.part` : `${file.path}.${file.sha256.slice(0, 12)}.part`;
  try {
    await mkdir(dirname(file.path), { recursive: true });
    return (await findPresent(file, options.connection)) ?? (await fetchInto(partPath, file, options));
  } catch (error) {
    options.connection.signal?.throwIfAborted();
    throw connectionError(file.url, error);
  }
}

/** The file when it is there already: another source named it before, or someone put it there. */
async function findPresent(
  { path, size, sha256 }: RemoteFile,
  { signal }: HubConnection,
): Promise<{ size: number; sha256: string } | undefined> {
  if (sha256 === undefined || (await sizeOf(path)) !== size || size === undefined) return undefined;
  const hash = await hashFile(path, signal);
  return hash.digest("hex") === sha256 ? { size, sha256 } : undefined;
}

/** Of what is there so far. A model takes a minute to read: an abort ends that. */
async function hashFile(path: string, signal: AbortSignal | undefined): Promise<Hash> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk);
  return hash;
}

async function fetchInto(
  partPath: string,
  file: RemoteFile,
  options: TransferOptions,
): Promise<{ size: number; sha256: string }> {
  const part = await openPart(partPath, file, options.connection);
  let found: string;
  try {
    await fetchAll(part, partPath, file, options);
    checkMagic(await readStart(part.handle), file);
    await part.handle.sync();
    found = part.hash.digest("hex");
  } catch (error) {
    if (error instanceof WrongContentError) await removePart(partPath);
    throw error;
  } finally {
    await part.handle.close();
  }
  if (file.sha256 !== undefined && found !== file.sha256) {
    await removePart(partPath);
    throw new DownloadError(
      file.url,
      `its SHA-256 is ${found}, expected ${file.sha256}; what was downloaded is removed: try again, and if it stays so, the file there is damaged`,
    );
  }
  await rename(partPath, file.path);
  await rm(stateOf(partPath), { force: true });
  return { size: part.offset, sha256: found };
}

/** What arrives is not what was promised: nothing of it can be kept. */
class WrongContentError extends DownloadError {}

async function openPart(partPath: string, file: RemoteFile, { signal }: HubConnection): Promise<Part> {
  const validator = file.sha256 === undefined ? await readValidator(partPath) : undefined;
  const isKept = canContinue(file, validator) && (await sizeOf(partPath)) !== undefined;
  const hash = isKept ? await hashFile(partPath, signal) : createHash("sha256");
  const handle = await open(partPath, isKept ? "r+" : "w+");
  const { size: offset } = await handle.stat();
  const part: Part = { handle, hash, offset, size: file.size, validator };
  if (file.size !== undefined && offset > file.size) await restart(part);
  return part;
}

/** Without a hash or a validator nothing tells whether the file there is still the same. */
function canContinue({ sha256 }: RemoteFile, validator: string | undefined): boolean {
  return sha256 !== undefined || validator !== undefined;
}

async function fetchAll(
  part: Part,
  partPath: string,
  file: RemoteFile,
  options: TransferOptions,
): Promise<void> {
  const { connection, onBytes } = options;
  if (part.size !== undefined) await checkSpace(part.size - part.offset, partPath, file);
  onBytes(part.offset, part.size);
  if (part.offset > 0 && part.offset === part.size) return;
  const fetchOnce = async (): Promise<void> => {
    await fetchRest(part, partPath, file, options);
    if (part.size === undefined || part.offset === part.size) return;
    throw new DownloadError(file.url, `cut at ${part.offset} of ${part.size} bytes`, { retry: "always" });
  };
  await retrying(file.url, connection, fetchOnce, () => part.offset);
}

/** One request: from the part's offset to the end, or to where the connection breaks. */
async function fetchRest(
  part: Part,
  partPath: string,
  file: RemoteFile,
  { connection, onBytes }: TransferOptions,
): Promise<void> {
  if (!canContinue(file, part.validator)) await restart(part);
  const response = await get(file.url, rangeHeaders(part), connection);
  try {
    await begin(part, partPath, file, response);
    for await (const chunk of response.body) {
      if (part.offset === 0 && chunk.length >= GGUF_MAGIC.length) checkMagic(chunk, file);
      if (part.size !== undefined && part.offset + chunk.length > part.size)
        throw new WrongContentError(file.url, `more than the ${part.size} bytes expected`);
      await writeAll(part.handle, chunk, part.offset);
      part.hash.update(chunk);
      part.offset += chunk.length;
      onBytes(part.offset, part.size);
    }
  } finally {
    // Destroyed before its end it emits an error, which the loop has told already.
    response.body.on("error", () => {}).destroy();
  }
}

function rangeHeaders({ offset, validator }: Part): Record<string, string> {
  if (offset === 0) return {};
  return { range: `bytes=${offset}-`, ...(validator === undefined ? {} : { "if-range": validator }) };
}

/** Brings the part in step with what the server is about to send. */
async function begin(part: Part, partPath: string, file: RemoteFile, response: HubResponse): Promise<void> {
  const { status, headers } = response;
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(first(headers["content-range"]) ?? "");
  if (status === 416 || (status === 206 && Number(range?.[1]) !== part.offset)) {
    await restart(part);
    throw new DownloadError(file.url, `the server can't send the rest (HTTP ${status})`, {
      retry: "always",
    });
  }
  if (status !== 206) await restart(part);
  const length = first(headers["content-length"]);
  const total = status === 206 ? Number(range?.[2]) : length === undefined ? undefined : Number(length);
  if (file.size !== undefined && total !== undefined && total !== file.size)
    throw new WrongContentError(file.url, `it is ${total} bytes, expected ${file.size}`);
  if (part.size === undefined && total !== undefined) await checkSpace(total - part.offset, partPath, file);
  part.size = file.size ?? total;
  if (file.sha256 === undefined && status !== 206) await keepValidator(part, partPath, headers);
}

async function restart(part: Part): Promise<void> {
  if (part.offset === 0) return;
  await part.handle.truncate(0);
  part.offset = 0;
  part.hash = createHash("sha256");
}

function checkMagic(start: Buffer, { url }: RemoteFile): void {
  if (start.toString("latin1", 0, GGUF_MAGIC.length) === GGUF_MAGIC) return;
  const beginning = JSON.stringify(start.toString("latin1", 0, 16));
  throw new WrongContentError(url, `what is there is no GGUF file: it begins ${beginning}`);
}

async function readStart(handle: FileHandle): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(16), 0, 16, 0);
  return buffer.subarray(0, bytesRead);
}

/** A single write may take only a part, without an error, when the disk fills up. */
async function writeAll(handle: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}

async function checkSpace(missingBytes: number, partPath: string, { url }: RemoteFile): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(partPath));
  if (bavail * bsize >= missingBytes) return;
  throw new DownloadError(
    url,
    `${megabytes(missingBytes)} are needed in ${dirname(partPath)} and ${megabytes(bavail * bsize)} are free; make room, or set downloads.cacheDir`,
  );
}

function stateOf(partPath: string): string {
  return `${partPath}.json`;
}

async function keepValidator(part: Part, partPath: string, headers: HubResponse["headers"]): Promise<void> {
  const etag = first(headers.etag);
  // A weak etag may stand for other bytes: RFC 9110, 13.1.5.
  const validator = etag !== undefined && !etag.startsWith("W/") ? etag : first(headers["last-modified"]);
  part.validator = validator;
  if (validator === undefined) await rm(stateOf(partPath), { force: true });
  else await writeFile(stateOf(partPath), JSON.stringify({ validator } satisfies PartState));
}

async function readValidator(partPath: string): Promise<string | undefined> {
  try {
    const state: unknown = JSON.parse(await readFile(stateOf(partPath), "utf8"));
    const validator: unknown =
      typeof state === "object" && state !== null ? Reflect.get(state, "validator") : null;
    return typeof validator === "string" ? validator : undefined;
  } catch {
    return undefined; // none, or cut off while it was written: begin again
  }
}

async function removePart(partPath: string): Promise<void> {
  await Promise.all([partPath, stateOf(partPath)].map((path) => rm(path, { force: true })));
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
