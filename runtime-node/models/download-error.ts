/**
 * Whether the same request may work a moment later. `if-connected`: only where this process has reached the server
 * before; a host that can't be reached at all is told at once.
 */
export type Retry = "never" | "if-connected" | "always";

/** Why a model can't be had; `sluice` prints the message and exits with code 2. */
export class DownloadError extends Error {
  override readonly name = "DownloadError";
  /** What was asked for: a URL, or the path of a local file. */
  readonly url: string;
  readonly retry: Retry;
  /** How long the server asked to wait before the next try, in ms. */
  readonly retryAfterMs: number | undefined;

  constructor(
    url: string,
    reason: string,
    options: { cause?: unknown; retry?: Retry; retryAfterMs?: number | undefined } = {},
  ) {
    super(`can't get ${url}: ${reason}`, { cause: options.cause });
    this.url = url;
    this.retry = options.retry ?? "never";
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** A failed connection, or one that broke, as a `DownloadError`; one that already is passes through. */
export function connectionError(url: string, cause: unknown): DownloadError {
  if (cause instanceof DownloadError) return cause;
  const { reason, retry } = explain(url, deepestCode(cause));
  return new DownloadError(url, reason ?? messageOf(cause), { cause, retry });
}

/** What an answer that isn't a success means. `detail`: the server's own words, if it had any. */
export function statusError(
  url: string,
  status: number,
  detail: string | undefined,
  retryAfterMs?: number,
): DownloadError {
  const said = detail === undefined ? "" : ` (the server says: ${detail})`;
  const isTransient = status === 408 || status === 425 || status === 429 || status >= 500;
  return new DownloadError(url, `HTTP ${status}${said}${adviceFor(status)}`, {
    retry: isTransient ? "always" : "never",
    retryAfterMs,
  });
}

function adviceFor(status: number): string {
  if (status === 401 || status === 403)
    return "; it is private or gated: accept its licence on the model's page, and set HF_TOKEN to a token that may read it";
  if (status === 404) return "; check the spelling of the user, the repository, the file and the branch";
  if (status === 407) return "; the proxy asks for credentials: put them into HTTPS_PROXY";
  if (status === 429) return "; too many requests: wait a while, or set HF_TOKEN for a higher limit";
  return "";
}

interface Explanation {
  readonly reason?: string;
  readonly retry: Retry;
}

function explain(url: string, code: string | undefined): Explanation {
  const host = URL.canParse(url) ? new URL(url).host : url;
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return {
        reason: `no address is known for ${host} (${code}); is this machine online? A mirror can be set with HF_ENDPOINT, a proxy with HTTPS_PROXY`,
        retry: "if-connected",
      };
    case "ECONNREFUSED":
      return { reason: `${host} refused the connection (${code})`, retry: "if-connected" };
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "UND_ERR_CONNECT_TIMEOUT":
    case "ETIMEDOUT":
      return {
        reason: `${host} can't be reached (${code}); a mirror can be set with HF_ENDPOINT, a proxy with HTTPS_PROXY`,
        retry: "if-connected",
      };
    case "ECONNRESET":
    case "EPIPE":
    case "UND_ERR_SOCKET":
      return { reason: `${host} cut the connection (${code})`, retry: "always" };
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
      return { reason: `${host} stopped sending (${code})`, retry: "always" };
    case "ENOSPC":
      return {
        reason: "the disk is full (ENOSPC); free some space, or set downloads.cacheDir",
        retry: "never",
      };
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return {
        reason: `the cache can't be written (${code}); set downloads.cacheDir to a folder of yours`,
        retry: "never",
      };
    default:
      return /CERT|SIGNATURE/.test(code ?? "")
        ? {
            reason: `the certificate of ${host} can't be checked (${code}); behind a proxy of your own, set NODE_EXTRA_CA_CERTS`,
            retry: "never",
          }
        : { retry: "never" };
  }
}

/** The code of the innermost cause that has one: undici and `AggregateError` wrap the one that tells. */
function deepestCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const [first]: readonly unknown[] = thrown instanceof AggregateError ? thrown.errors : [];
  const inner = deepestCode(thrown.cause) ?? deepestCode(first);
  const code: unknown = Reflect.get(thrown, "code");
  return inner ?? (typeof code === "string" ? code : undefined);
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
