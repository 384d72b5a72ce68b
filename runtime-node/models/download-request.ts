import { setTimeout as delay } from "node:timers/promises";
import { EnvHttpProxyAgent, request } from "undici";
import { connectionError, DownloadError, statusError } from "./download-error.ts";

/** What the requests of one download share. */
export interface HubConnection {
  readonly endpoint: string;
  readonly agent: EnvHttpProxyAgent;
  /** Sent to the endpoint's own origin only: never to the storage it redirects to, nor to another URL. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Pauses between tries that bring nothing; after the last, the error. */
  readonly retryDelaysMs: readonly number[];
}

export interface HubResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Awaited<ReturnType<typeof request>>["body"];
}

const MAX_REDIRECTS = 5;
/** A `retry-after` beyond this is not waited for. */
const MAX_RETRY_AFTER_MS = 60_000;

/** Close it when done. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. */
export function createAgent(idleTimeoutMs: number): EnvHttpProxyAgent {
  return new EnvHttpProxyAgent({
    connect: { timeout: Math.min(15_000, idleTimeoutMs) },
    headersTimeout: idleTimeoutMs,
    bodyTimeout: idleTimeoutMs,
  });
}

/**
 * Tries until it works, or fails in a way that trying again won't cure. `progress` counts what has arrived so far: a
 * try that brought something starts the pauses anew.
 */
export async function retrying<T>(
  url: string,
  { signal, retryDelaysMs }: HubConnection,
  attempt: () => Promise<T>,
  progress: () => number = () => 0,
): Promise<T> {
  let failures = 0;
  let isConnected = false;
  for (;;) {
    const before = progress();
    try {
      return await attempt();
    } catch (thrown) {
      signal?.throwIfAborted();
      const error = connectionError(url, thrown);
      if (progress() > before) {
        failures = 0;
        isConnected = true;
      }
      const mayWork = error.retry === "always" || (error.retry === "if-connected" && isConnected);
      const { retryAfterMs = 0 } = error;
      const pauseMs = retryDelaysMs[failures++];
      if (!mayWork || pauseMs === undefined || retryAfterMs > MAX_RETRY_AFTER_MS) throw error;
      await pause(Math.max(pauseMs, retryAfterMs), signal);
    }
  }
}

/**
 * GETs `url`, following redirects, and resolves at the headers of a 2xx or 416 answer, whose body the caller must read
 * or dump. Rejects with a `DownloadError` for anything else, and with the signal's reason when aborted.
 */
export async function get(
  url: string,
  headers: Readonly<Record<string, string>>,
  connection: HubConnection,
): Promise<HubResponse> {
  let at = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await send(at, headers, connection);
    const { status } = response;
    if ((status >= 200 && status < 300) || status === 416) return response;
    await response.body.dump();
    const location = first(response.headers.location);
    if (status < 300 || status >= 400 || location === undefined) throw failure(url, at, response);
    at = new URL(location, at).href;
  }
  throw new DownloadError(url, `more than ${MAX_REDIRECTS} redirects, the last to ${at}`);
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted(); // with its own reason
    throw error;
  }
}

/** The first value of a header. */
export function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

async function send(
  url: string,
  headers: Readonly<Record<string, string>>,
  { endpoint, agent, token, signal }: HubConnection,
): Promise<HubResponse> {
  const authorization =
    token !== undefined && new URL(url).origin === new URL(endpoint).origin
      ? { authorization: `Bearer ${token}` }
      : {};
  try {
    const response = await request(url, {
      dispatcher: agent,
      headers: { "user-agent": "sluice", "accept-encoding": "identity", ...headers, ...authorization },
      ...(signal === undefined ? {} : { signal }),
    });
    return { status: response.statusCode, headers: response.headers, body: response.body };
  } catch (cause) {
    signal?.throwIfAborted();
    throw connectionError(url, cause);
  }
}

/** Names the URL asked for and, where a redirect led elsewhere, the host that refused; signed URLs are secrets. */
function failure(asked: string, at: string, { status, headers }: HubResponse): DownloadError {
  const said = first(headers["x-error-message"]);
  const where = asked === at ? undefined : `redirected to ${new URL(at).host}`;
  const detail = [said, where].filter((part) => part !== undefined).join("; ");
  const seconds = Number(first(headers["retry-after"]));
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
  return statusError(asked, status, detail === "" ? undefined : detail, retryAfterMs);
}
