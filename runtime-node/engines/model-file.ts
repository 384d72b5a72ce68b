import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";

export interface ModelFile {
  readonly path: string;
  readonly bytes: number;
  /** Unix seconds of its last change. */
  readonly modified: number;
  /** The same for the same content, wherever it lies: of its size, head, middle and tail. */
  readonly fingerprint: string;
}

const MAGIC = "GGUF";
/** Magic, version (u32), tensors and metadata pairs (u64 each), little endian. */
const HEADER_BYTES = 24;
/** The least that one of them takes in the file. */
const TENSOR_BYTES = 24;
const PAIR_BYTES = 13;
/** Enough for the metadata of small files, and for tensors of all; a whole hash of 40 GB takes a minute. */
const SAMPLE_BYTES = 2 ** 20;

/** Looks at a model file. Throws an Error that says what it is when it can't be opened or isn't a GGUF. */
export async function readModelFile(path: string): Promise<ModelFile> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (cause) {
    throw new Error(`The model file ${path} can't be opened. Check the path, or download it first.`, {
      cause,
    });
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error(`${path} is not a file. A model is one file in GGUF format.`);
    checkHeader(path, await read(file, 0, HEADER_BYTES), stat.size);
    const hash = createHash("sha256").update(String(stat.size));
    for (const share of [0, 0.5, 1]) {
      const start = Math.floor(Math.max(0, stat.size - SAMPLE_BYTES) * share);
      hash.update(await read(file, start, SAMPLE_BYTES));
    }
    return {
      path,
      bytes: stat.size,
      modified: Math.floor(stat.mtimeMs / 1000),
      fingerprint: hash.digest("hex").slice(0, 32),
    };
  } finally {
    await file.close();
  }
}

/** Also a guard for node-llama-cpp, whose reader takes what a broken header promises at its word, for minutes. */
function checkHeader(path: string, header: Buffer, fileBytes: number): void {
  const magic = header.subarray(0, MAGIC.length).toString("latin1");
  if (magic !== MAGIC) {
    throw new Error(
      `${path} is not in GGUF format: it begins with ${JSON.stringify(magic)}, not "${MAGIC}". ` +
        "Convert the model with llama.cpp's convert_hf_to_gguf.py, or download it as GGUF.",
    );
  }
  const promised =
    header.length < HEADER_BYTES
      ? Number.POSITIVE_INFINITY
      : TENSOR_BYTES * Number(header.readBigUInt64LE(8)) + PAIR_BYTES * Number(header.readBigUInt64LE(16));
  const version = header.length < HEADER_BYTES ? 0 : header.readUInt32LE(4);
  if (promised > fileBytes || version < 2 || version > 3) {
    throw new Error(
      `${path} is a broken GGUF file, or one of a version other than 2 and 3: its header (version ${version}) ` +
        `doesn't fit its ${fileBytes} bytes. Download it again.`,
    );
  }
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
