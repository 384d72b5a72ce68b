import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { createLog } from "../functions/log.ts";
import { createSqliteStore } from "../runtime-node/ledger/sqlite.ts";
import { startServer } from "../runtime-node/server.ts";
import { parseConfig } from "../shared/config.ts";
import type { Ledger } from "../shared/ledger.ts";
import { median } from "./median.ts";

/** What the ledger adds to a request through the whole server: two of them in processes of their own, asked in turns. */

const PAIRS = 9;
const REQUESTS = 1000;
const AT_ONCE = 32;
const TOKENS = 64;
const KEY = "sk-slc-key-of-a-benchmark";

export interface Added {
  readonly withoutUs: number;
  readonly withUs: number;
  /** Of the time without, the median of the pairs. */
  readonly added: number;
}

/** `folder`: for the ledger's file. */
export async function addedCpu(folder: string): Promise<{ readonly stream: Added; readonly json: Added }> {
  const upstream = await startUpstream();
  const servers = await Promise.all([
    startChild("none", upstream.url),
    startChild(join(folder, "http", "ledger.db"), upstream.url),
  ]);
  try {
    const [without, sqlite] = servers;
    for (const isStream of [true, false]) for (const server of servers) await cpuOf(server, isStream);
    return {
      stream: await compare(without, sqlite, true),
      json: await compare(without, sqlite, false),
    };
  } finally {
    for (const { child } of servers) child.kill("SIGTERM");
    upstream.close();
  }
}

async function compare(without: Server, sqlite: Server, isStream: boolean): Promise<Added> {
  const pairs: { readonly without: number; readonly with: number }[] = [];
  for (let i = 0; i < PAIRS; i++) {
    if (i % 2 === 0)
      pairs.push({ without: await cpuOf(without, isStream), with: await cpuOf(sqlite, isStream) });
    else {
      const first = await cpuOf(sqlite, isStream);
      pairs.push({ without: await cpuOf(without, isStream), with: first });
    }
  }
  return {
    withoutUs: median(pairs.map((pair) => pair.without)),
    withUs: median(pairs.map((pair) => pair.with)),
    added: median(pairs.map((pair) => pair.with / pair.without - 1)),
  };
}

interface Server {
  readonly child: ChildProcess;
  readonly url: string;
}

/** Microseconds of the server's processor time for each of a round's requests. */
async function cpuOf({ child, url }: Server, isStream: boolean): Promise<number> {
  const before = await cpuSoFar(child);
  let left = REQUESTS;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await ask(url, isStream);
    }),
  );
  return ((await cpuSoFar(child)) - before) / REQUESTS;
}

async function ask(url: string, isStream: boolean): Promise<void> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify({
      model: "small",
      messages: [{ role: "user", content: "What does a ledger cost?" }],
      max_tokens: TOKENS,
      stream: isStream,
    }),
  });
  const body = await response.text();
  if (!response.ok || (isStream && !body.includes("[DONE]")))
    throw new Error(`${url}: ${response.status} ${body.slice(0, 500)}`);
}

async function cpuSoFar(child: ChildProcess): Promise<number> {
  child.send("cpu");
  const [microseconds] = await once(child, "message");
  return Number(microseconds);
}

async function startChild(ledger: string, upstream: string): Promise<Server> {
  const child = fork(import.meta.filename, [ledger, upstream], { stdio: "inherit" });
  const [url] = await once(child, "message");
  return { child, url: String(url) };
}

/** A backend that answers at once. */
async function startUpstream() {
  const usage = { prompt_tokens: 12, completion_tokens: TOKENS, total_tokens: TOKENS + 12 };
  const base = { id: "chatcmpl-1", created: 1, model: "small" };
  const chunk = (more: object) =>
    `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", ...more })}\n\n`;
  const delta = (content: string, finish_reason: string | null = null) =>
    chunk({ choices: [{ index: 0, delta: { content }, finish_reason }] });
  const events = [
    ...Array.from({ length: TOKENS - 1 }, () => delta(" word")),
    delta(".", "stop"),
    chunk({ choices: [], usage }),
    "data: [DONE]\n\n",
  ];
  const whole = JSON.stringify({
    ...base,
    object: "chat.completion",
    choices: [
      { index: 0, message: { role: "assistant", content: " word".repeat(TOKENS) }, finish_reason: "stop" },
    ],
    usage,
  });
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    if (JSON.parse(body).stream !== true) {
      response.writeHead(200, { "content-type": "application/json" }).end(whole);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    // A token at a time, as engines do.
    for (const event of events) {
      response.write(event);
      await new Promise(setImmediate);
    }
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The upstream has no port");
  return { url: `http://127.0.0.1:${address.port}/v1`, close: () => server.close() };
}

async function serve(ledger: string, upstream: string): Promise<void> {
  const limits = {
    requestsPerMinute: 1_000_000_000,
    tokensPerMinute: 1_000_000_000,
    concurrentRequests: 10_000,
    monthlyUsd: 9_000_000,
  };
  const grant = { limits, modelLimits: { small: limits } };
  const config = parseConfig(
    {
      host: "127.0.0.1",
      port: 0,
      backends: [
        { id: "upstream", url: upstream, models: [{ id: "small", price: { prompt: 1, completion: 2 } }] },
      ],
      accounts: [{ id: "acme", ...grant }],
      keys: [{ id: "bench", key: KEY, account: "acme", ...grant }],
    },
    {},
  );
  const log = createLog("error", console.error);
  const path = ledger === "none" ? ":memory:" : ledger;
  const store = createSqliteStore({ path, now: Date.now, log });
  const platform = { info: { system: "bench" }, sample: async () => ({}) };
  const { url } = await startServer({
    config,
    local: undefined,
    store: ledger === "none" ? { ...store, ledger: { ...store.ledger, ...IDLE } } : store,
    platform,
    log,
  });
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.(user + system);
  });
  process.send?.(url);
}

/** A ledger that does nothing at once. */
const IDLE: Pick<Ledger, "hold" | "checkpoint" | "settle" | "void"> = {
  hold: async ({ amount }) => ({ ok: true, heldNanoUsd: amount, isRepeat: false, limits: [] }),
  checkpoint: async () => {},
  settle: async (ref, settlement) => ({
    ...ref,
    ...settlement,
    keyId: "bench",
    route: "chat",
    model: "small",
    price: { promptPicoUsd: 0, cachedPromptPicoUsd: 0, completionPicoUsd: 0, reasoningPicoUsd: 0 },
    costNanoUsd: 0,
    heldAt: 0,
    settledAt: 0,
  }),
  void: async () => {},
};

const [ledger, upstream] = process.argv.slice(2);
if (import.meta.main && ledger !== undefined && upstream !== undefined) await serve(ledger, upstream);
