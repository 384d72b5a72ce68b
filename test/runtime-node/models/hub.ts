import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as the hub saw it. */
export interface Seen {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  /** Body bytes that were handed to the connection. */
  sentBytes: number;
}

export interface HubFileEntry {
  readonly content: Buffer;
  /** What the API says of it, where that is not the truth. */
  readonly claimedSize?: number;
  readonly claimedSha256?: string;
}

/** What the next answers for one path do, one entry an answer; when used up, the answer is the ordinary one. */
export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly headers?: Record<string, string> }
  /** Sends this many bytes of the body, then closes the connection. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Sends this many bytes of the body, then nothing, with the connection open. */
  | { readonly kind: "stall"; readonly afterBytes: number };

export interface Hub {
  readonly url: string;
  readonly requests: Seen[];
  /** Requests for contents of files, at the hub's own "storage" host. */
  storageRequests(): Seen[];
  addFault(pathEnd: string, ...faults: Fault[]): void;
  close(): Promise<void>;
}

/** Some bytes that begin like a GGUF file; no two are alike. */
export function fakeGguf(size: number): Buffer {
  return Buffer.concat([Buffer.from("GGUF"), randomBytes(size - 4)]);
}

export function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * A hub with the part of Hugging Face's API that a download needs, on loopback: the file tree, `resolve` that redirects
 * to storage on another origin, and storage with ranges. Files outside a repository are at `/plain/`.
 *
 * @param repos file contents by `user/repo@revision` and path
 */
export async function startHub(
  repos: Record<string, Record<string, HubFileEntry>>,
  plain: Record<string, { content: Buffer; headers?: Record<string, string>; ignoresRange?: boolean }> = {},
): Promise<Hub> {
  const requests: Seen[] = [];
  const faults = new Map<string, Fault[]>();
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? "/", `http://${request.headers.host}`);
    const path = decodeURIComponent(url.pathname);
    const seen: Seen = {
      path,
      range: request.headers.range,
      authorization: request.headers.authorization,
      sentBytes: 0,
    };
    requests.push(seen);
    const [, list = []] = [...faults].find(([end]) => path.endsWith(end)) ?? [];
    const fault = list.shift();
    if (fault?.kind === "status") {
      response.writeHead(fault.status, fault.headers).end();
      return;
    }
    const found = route(path, storageOrigin(), repos);
    if (found.kind === "json") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(found.body));
      return;
    }
    if (found.kind === "redirect") {
      response.writeHead(302, { location: found.location }).end();
      return;
    }
    const file = found.kind === "file" ? { content: found.content } : plain[path.replace("/plain/", "")];
    if (file === undefined) {
      response.writeHead(404).end("not found");
      return;
    }
    sendFile(file, seen, response, fault);
  };

  const hub = createServer(handle);
  const storage = createServer(handle);
  hub.listen(0, "127.0.0.1");
  storage.listen(0, "127.0.0.1");
  await Promise.all([once(hub, "listening"), once(storage, "listening")]);
  const origin = (server: typeof hub): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const storageOrigin = (): string => origin(storage);

  return {
    url: origin(hub),
    requests,
    storageRequests: () =>
      requests.filter(({ path }) => path.startsWith("/storage/") || path.startsWith("/plain/")),
    addFault: (pathEnd, ...added) => {
      faults.set(pathEnd, [...(faults.get(pathEnd) ?? []), ...added]);
    },
    async close() {
      for (const server of [hub, storage]) {
        server.closeAllConnections();
        server.close();
      }
      await Promise.all([hub, storage].map((server) => server.listening && once(server, "close")));
    },
  };
}

type Route =
  | { readonly kind: "json"; readonly body: unknown }
  | { readonly kind: "redirect"; readonly location: string }
  | { readonly kind: "file"; readonly content: Buffer }
  | { readonly kind: "none" };

function route(path: string, storage: string, repos: Record<string, Record<string, HubFileEntry>>): Route {
  const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/(.+)$/.exec(path);
  if (tree !== null) {
    const files = repos[`${tree[1]}@${tree[2]}`];
    return files === undefined ? { kind: "none" } : { kind: "json", body: treeOf(files) };
  }
  const resolved = /^\/([^/]+\/[^/]+)\/resolve\/(.+)$/.exec(path);
  if (resolved !== null)
    return {
      kind: "redirect",
      location: `${storage}/storage/${resolved[1]}@${resolved[2]}?signature=secret`,
    };
  for (const [name, files] of Object.entries(repos)) {
    const prefix = `/storage/${name}/`;
    const file = path.startsWith(prefix) ? files[path.slice(prefix.length)] : undefined;
    if (file !== undefined) return { kind: "file", content: file.content };
  }
  return { kind: "none" };
}

function treeOf(files: Record<string, HubFileEntry>): unknown[] {
  const entries = Object.entries(files).map(([path, { content, claimedSize, claimedSha256 }]) => {
    const size = claimedSize ?? content.length;
    return {
      type: "file",
      oid: "0".repeat(40),
      size,
      path,
      lfs: { oid: claimedSha256 ?? sha256(content), size, pointerSize: 135 },
    };
  });
  return [
    { type: "directory", oid: "0".repeat(40), size: 0, path: "folder" },
    { type: "file", oid: "0".repeat(40), size: 12, path: "README.md" },
    ...entries,
  ];
}

function sendFile(
  file: { content: Buffer; headers?: Record<string, string>; ignoresRange?: boolean },
  seen: Seen,
  response: ServerResponse,
  fault: Exclude<Fault, { kind: "status" }> | undefined,
): void {
  const { content, headers = { etag: `"${sha256(content)}"` } } = file;
  const start = file.ignoresRange ? 0 : Number(/^bytes=(\d+)-$/.exec(seen.range ?? "")?.[1] ?? 0);
  if (start >= content.length) {
    response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
    return;
  }
  const isChanged = seenValidatorDiffers(response.req, headers.etag);
  const from = isChanged ? 0 : start;
  const body = content.subarray(from, fault === undefined ? undefined : from + fault.afterBytes);
  response.writeHead(from > 0 ? 206 : 200, {
    ...headers,
    "content-length": content.length - from,
    ...(from > 0 ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
  });
  seen.sentBytes = body.length;
  if (fault === undefined) response.end(body);
  else if (fault.kind === "cut") response.write(body, () => response.socket?.destroy());
  else response.write(body);
}

function seenValidatorDiffers(request: IncomingMessage, etag: string | undefined): boolean {
  const validator = request.headers["if-range"];
  return validator !== undefined && validator !== etag;
}
