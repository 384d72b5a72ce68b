import { styleText } from "node:util";
import type { Config } from "../shared/config.ts";
import type { EngineChoice } from "../shared/detector.ts";
import type { EngineStatus } from "../shared/engine.ts";
import { type Access, OPEN_TODO, OPEN_WARNING } from "./access.ts";

export interface BannerFacts {
  readonly version: string;
  readonly url: string;
  readonly config: Config;
  readonly configPath: string | undefined;
  /** Undefined where only backends serve. */
  readonly choice: EngineChoice | undefined;
  readonly status: EngineStatus | undefined;
  readonly access: Access;
  /** Where money and keys are kept. */
  readonly ledger: string;
}

/** What a newcomer needs to see once the server answers; plain text where the terminal has no colours. */
export function banner(facts: BannerFacts): string {
  const { config, url } = facts;
  const model = config.models[0]?.id ?? config.backends[0]?.models?.[0]?.id ?? "MODEL";
  const body = `{"model":"${model}","messages":[{"role":"user","content":"What is Sluice?"}]}`;
  const isOpen = facts.access.kind === "open";
  const headers = isOpen ? "" : `-H "authorization: Bearer $KEY" `;
  const rows: [string, string | undefined][] = [
    ["listening", `${url}/v1  (${config.host}, port ${new URL(url).port})`],
    ["engine", facts.choice?.reason],
    ["warning", facts.choice?.warning],
    ["models", config.models.map(({ id, source }) => (source === id ? id : `${id} (${source})`)).join(", ")],
    ["measured", facts.status === undefined ? undefined : measured(facts.status)],
    ["backends", config.backends.map(({ id, url }) => `${id} (${url})`).join(", ")],
    ["config", facts.configPath ?? "defaults; sluice.example.yaml shows every key"],
    ["ledger", facts.ledger],
    ...accessRows(facts.access),
    ["curl", `curl ${url}/v1/chat/completions ${headers}-H 'content-type: application/json' -d '${body}'`],
    ["openai", `new OpenAI({ baseURL: "${url}/v1", apiKey: ${isOpen ? '"none"' : "process.env.KEY"} })`],
    ["bigger", config.models.length === 0 ? undefined : "npm start -- --model hf:Qwen/Qwen3-0.6B-GGUF:Q8_0"],
  ];
  const lines = rows
    .filter(([, text]) => text !== undefined && text !== "")
    .map(
      ([label, text = ""]) =>
        `  ${styleText("dim", label.padEnd(10))} ${label === "warning" ? styleText("yellow", text) : text}`,
    );
  return [`${styleText("bold", "Sluice")} ${facts.version}`, ...lines, ""].join("\n");
}

function accessRows(access: Access): [string, string | undefined][] {
  switch (access.kind) {
    case "open":
      return [["warning", `${OPEN_WARNING}. ${OPEN_TODO}`]];
    case "keys":
      return [["keys", access.keys === 1 ? "1 key" : `${access.keys} keys`]];
    case "admin":
      return [["keys", "none yet: POST /v1/admin/keys with the admin key makes the first"]];
    default:
      return access satisfies never;
  }
}

function measured({ details }: EngineStatus): string | undefined {
  const speed = details.decodeTokensPerSecond;
  if (typeof speed !== "number") return undefined;
  const threads = details.threads === 1 ? "1 thread" : `${details.threads} threads`;
  return `${Math.round(speed)} tokens/s a stream on ${threads}; ${details.sequences} sequences of ${details.contextSize} tokens`;
}
