import { z } from "zod";
import { DownloadError } from "./download-error.ts";
import { first, get, type HubConnection, retrying } from "./download-request.ts";

/** What an `hf:` URI or a URL on the hub names. */
export interface HubModel {
  /** `user/repo`. */
  readonly repo: string;
  readonly revision: string;
  /** Neither: the quantization is ours to choose. */
  readonly pick: { readonly file: string } | { readonly quant: string } | undefined;
}

export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Absent where the hub knows none: small files outside its large-file storage. */
  readonly sha256: string | undefined;
}

/** A hub that lists more pages than this is looping: a page holds up to 1000 files. */
const MAX_PAGES = 20;

/** What is taken where nothing is asked for, best first: as llama.cpp, then what comes closest in size. */
const DEFAULT_QUANTS = [
  "Q4_K_M",
  "Q4_K_S",
  "Q4_0",
  "IQ4_NL",
  "IQ4_XS",
  "Q5_K_M",
  "Q4_K_XL",
  "MXFP4",
  "Q6_K",
  "Q8_0",
];

const treeSchema = z.array(
  z.looseObject({
    type: z.string(),
    path: z.string(),
    size: z.number().optional(),
    lfs: z.looseObject({ oid: z.string(), size: z.number() }).nullish(),
  }),
);

export function treeUrl(endpoint: string, { repo, revision }: HubModel): string {
  return `${endpoint}/api/models/${repo}/tree/${encodeURIComponent(revision)}?recursive=true`;
}

export function fileUrl(endpoint: string, { repo, revision }: HubModel, path: string): string {
  return `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** The GGUF files of a repository, with size and hash as the hub's API tells them. */
export async function listFiles(model: HubModel, connection: HubConnection): Promise<HubFile[]> {
  const files: HubFile[] = [];
  let url: string | undefined = treeUrl(connection.endpoint, model);
  for (let page = 0; url !== undefined && page < MAX_PAGES; page++) {
    const pageUrl: string = url;
    const { listed, next } = await retrying(pageUrl, connection, () => readPage(pageUrl, connection));
    files.push(...listed);
    url = next;
  }
  return files;
}

async function readPage(
  url: string,
  connection: HubConnection,
): Promise<{ listed: HubFile[]; next: string | undefined }> {
  const { headers, body } = await get(url, { accept: "application/json" }, connection);
  const next = /<([^>]+)>;\s*rel="next"/.exec(first(headers.link) ?? "")?.[1];
  return {
    listed: readTree(url, await body.text()),
    next: next === undefined ? undefined : new URL(next, url).href,
  };
}

function readTree(url: string, text: string): HubFile[] {
  const tree = treeSchema.safeParse(parseJson(text));
  if (!tree.success)
    throw new DownloadError(url, "the answer is no file list of a Hugging Face hub; check HF_ENDPOINT", {
      cause: tree.error,
    });
  return tree.data
    .filter(({ type, path }) => type === "file" && /\.gguf$/i.test(path) && isInside(path))
    .map(({ path, size = 0, lfs }) => ({
      path,
      size: lfs?.size ?? size,
      sha256: lfs?.oid.replace(/^sha256:/, ""),
    }));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema refuses it, and says so
  }
}

/** A mirror must not be able to name a file outside the cache. */
function isInside(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:]/.test(part));
}

/** The files to fetch, in order: more than one where the model is cut into shards. `url` names the list in errors. */
export function chooseFiles(files: readonly HubFile[], { repo, pick }: HubModel, url: string): HubFile[] {
  const models = files.filter(({ path }) => !/(^|\/)(mmproj|imatrix)/i.test(path));
  const heads = models.filter(({ path }) => shardOf(path) === undefined || shardOf(path)?.index === 1);
  const head = pick !== undefined && "file" in pick ? find(files, pick.file) : byQuant(heads, pick?.quant);
  if (head === undefined) throw new DownloadError(url, nothingFits(repo, pick, heads));
  const shard = shardOf(head.path);
  if (shard === undefined) return [head];
  return Array.from({ length: shard.count }, (_, position) => {
    const path = shard.nameOf(position + 1);
    const file = find(files, path);
    if (file === undefined) throw new DownloadError(url, `${repo} has no ${path}, a part of ${head.path}`);
    return file;
  });
}

/** A file's place in a model of several: `model-00001-of-00003.gguf`. */
export function shardOf(
  path: string,
): { index: number; count: number; nameOf(index: number): string } | undefined {
  const match = /^(.*-)(\d{5})(-of-(\d{5})\.gguf)$/i.exec(path);
  if (match === null) return undefined;
  const [, before = "", index, after = "", count] = match;
  return {
    index: Number(index),
    count: Number(count),
    nameOf: (position) => `${before}${String(position).padStart(5, "0")}${after}`,
  };
}

function find(files: readonly HubFile[], path: string): HubFile | undefined {
  return files.find((file) => file.path === path);
}

function byQuant(heads: readonly HubFile[], quant: string | undefined): HubFile | undefined {
  for (const wanted of quant === undefined ? DEFAULT_QUANTS : [quant]) {
    // Q4_K is not Q4_K_M, but UD-Q4_K_XL is a Q4_K_XL; of several, the plainest name.
    const name = new RegExp(`(^|[-._/])${wanted.replace(/[.]/g, "\\.")}(?=[-./]|$)`, "i");
    const [best] = heads
      .filter(({ path }) => name.test(path))
      .sort((a, b) => a.path.length - b.path.length || a.path.localeCompare(b.path));
    if (best !== undefined) return best;
  }
  return quant === undefined ? heads[0] : undefined;
}

function nothingFits(repo: string, pick: HubModel["pick"], heads: readonly HubFile[]): string {
  if (heads.length === 0) return `${repo} has no GGUF file; look for a repository whose name ends in -GGUF`;
  const asked = pick !== undefined && "file" in pick ? pick.file : `file of quantization ${pick?.quant}`;
  const list = heads.slice(0, 20).map(({ path }) => path);
  return `${repo} has no ${asked}; it has ${list.join(", ")}${heads.length > 20 ? ", ..." : ""}`;
}
