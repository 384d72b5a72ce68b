import OpenAI from "openai";
import { afterAll, beforeAll } from "vitest";
import { type Edge, startEdge } from "./edge.ts";
import { type Host, type HostOptions, startHost } from "./host.ts";
import { checkedFetch } from "./oracle.ts";

/** One way to reach the API. `url` and `client` are set once the file's `beforeAll` has run. */
export interface Site {
  readonly name: string;
  url: string;
  /** Answers are validated against OpenAI's schemas. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  get(path: string, init?: RequestInit): Promise<Response>;
  client(): OpenAI;
}

/**
 * The host, and the Worker in workerd that forwards to it, for as long as the test file runs. Both sites answer with
 * the same engine, so one suite runs against both: `describe.each(sites)("$name", (site) => …)`.
 */
export function useSites(options: () => HostOptions | Promise<HostOptions> = () => ({})): {
  readonly sites: readonly Site[];
  readonly host: () => Host;
} {
  const host = site("the host");
  const worker = site("the Worker");
  let server: Host | undefined;
  let edge: Edge | undefined;
  beforeAll(async () => {
    const { config = {}, engine } = await options();
    server = await startHost(engine === undefined ? { config } : { config, engine });
    const { limits, strict, cors } = config;
    edge = await startEdge({
      backends: [{ id: "host", url: server.baseURL }],
      ...Object.fromEntries(
        Object.entries({ limits, strict, cors }).filter(([, value]) => value !== undefined),
      ),
    });
    host.url = server.url;
    worker.url = edge.url;
  });
  afterAll(async () => {
    await edge?.close();
    server?.abort();
    await server?.close();
  });
  return {
    sites: [host, worker],
    host: () => {
      if (server === undefined)
        throw new Error("The host is there in tests only, not while they are collected");
      return server;
    },
  };
}

function site(name: string): Site {
  const made: Site = {
    name,
    url: "",
    post: (path, body, init = {}) =>
      checkedFetch(`${made.url}/v1${path}`, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...init,
        headers: { "content-type": "application/json", ...init.headers },
      }),
    get: (path, init = {}) => checkedFetch(`${made.url}${path}`, init),
    client: () =>
      new OpenAI({ baseURL: `${made.url}/v1`, apiKey: "sk-test", fetch: checkedFetch, maxRetries: 0 }),
  };
  return made;
}
