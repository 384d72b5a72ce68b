import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { DownloadError } from "./download-error.ts";
import type { HubModel } from "./download-hub.ts";

/** What `--model` or a model's `source` names. */
export type ModelSource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "hub"; readonly model: HubModel }
  | { readonly kind: "url"; readonly url: string; readonly sha256: string | undefined };

/** Beside this file here, and beside the bundle in the package. */
const DEMO_URL = new URL("./demo/sluice-demo.gguf", import.meta.url);

export const HUGGING_FACE = "https://huggingface.co";

/**
 * Reads a source: `demo`, a path, `hf:user/repo[:quant][#branch]`, `hf:user/repo/file.gguf[#branch]` or a URL. A page
 * or file on the hub's own site is taken as its `hf:` form, so that its size and hash are known; any other URL may
 * carry its hash: `https://example.com/model.gguf#sha256=<64 hex digits>`. Throws a `DownloadError`.
 */
export function parseSource(source: string, endpoint: string): ModelSource {
  if (source === "demo") return { kind: "file", path: fileURLToPath(DEMO_URL) };
  if (source.startsWith("hf:")) return { kind: "hub", model: parseHub(source) };
  if (!/^https?:\/\//i.test(source)) return { kind: "file", path: source };
  if (!URL.canParse(source)) throw new DownloadError(source, "it is no valid URL");
  const url = new URL(source);
  const model = hubModelOf(url, endpoint);
  if (model !== undefined) return { kind: "hub", model };
  const sha256 = /^#sha256=([\da-f]{64})$/i.exec(url.hash)?.[1]?.toLowerCase();
  url.hash = "";
  return { kind: "url", url: url.href, sha256 };
}

/** A folder of the cache for this source, relative to its root, with `/` between the parts. */
export function cacheFolder(source: Exclude<ModelSource, { kind: "file" }>): string {
  switch (source.kind) {
    case "hub":
      return `hf/${source.model.repo}/${encodeURIComponent(source.model.revision)}`;
    case "url":
      // Query and path in full: two URLs are two files.
      return `url/${new URL(source.url).hostname}/${shortHash(`${source.url}#${source.sha256 ?? ""}`)}`;
    default:
      return source satisfies never;
  }
}

/** A name for the file behind a URL, whatever characters the URL has. */
export function fileNameOf(url: string): string {
  const last = new URL(url).pathname.split("/").findLast((part) => part !== "") ?? "model";
  const name = last.replace(/%[\da-f]{2}|[^\w.-]/gi, "_");
  return /\.gguf$/i.test(name) ? name : `${name}.gguf`;
}

export function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function parseHub(source: string): HubModel {
  const match = /^hf:([\w.-]+\/[\w.-]+)(?::([\w.-]+)|\/([^#]+\.gguf))?(?:#(.+))?$/i.exec(source);
  const [, repo, quant, file, revision = "main"] = match ?? [];
  if (repo === undefined || repo.split("/").some((part) => /^\.+$/.test(part)))
    throw new DownloadError(
      source,
      "allowed are hf:user/repo, hf:user/repo:quant and hf:user/repo/file.gguf, each with #branch after it if need be",
    );
  return {
    repo,
    revision,
    pick: file !== undefined ? { file } : quant !== undefined ? { quant } : undefined,
  };
}

/** `https://huggingface.co/user/repo/resolve/main/file.gguf`, or `blob` as the browser shows it. */
function hubModelOf(url: URL, endpoint: string): HubModel | undefined {
  if (![HUGGING_FACE, new URL(endpoint).origin].includes(url.origin)) return undefined;
  const match = /^\/([\w.-]+\/[\w.-]+)\/(?:resolve|blob)\/([^/]+)\/(.+\.gguf)$/i.exec(url.pathname);
  const [, repo, revision, file] = match ?? [];
  if (repo === undefined || revision === undefined || file === undefined) return undefined;
  return { repo, revision: decodeURIComponent(revision), pick: { file: decodeURIComponent(file) } };
}
