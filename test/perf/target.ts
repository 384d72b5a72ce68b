import { z } from "zod";

/** The server that run.ts started or was pointed at. */
export interface Target {
  readonly url: string;
  /** Where the server runs on this machine. */
  readonly pid: number | undefined;
  readonly model: string;
  /** Sends a chat request; resolves with the answer's time and tokens. Rejects on any status but 200. */
  chat(text: string, maxTokens: number): Promise<Answer>;
}

export interface Answer {
  readonly ms: number;
  readonly completionTokens: number;
}

const answer = z.object({
  choices: z.array(z.unknown()).min(1),
  usage: z.object({ completion_tokens: z.number() }),
});
const models = z.object({ data: z.array(z.object({ id: z.string() })) });

export async function findTarget(): Promise<Target> {
  const { OPENAI_BASE_URL = "", OPENAI_API_KEY = "none", OPENAI_MODEL, SUITE_PID } = process.env;
  if (OPENAI_BASE_URL === "") throw new Error("No server: npm run test:perf starts one, or takes --url URL");
  const headers = { authorization: `Bearer ${OPENAI_API_KEY}`, "content-type": "application/json" };
  const list = await fetch(`${OPENAI_BASE_URL}/models`, { headers });
  const model = OPENAI_MODEL ?? models.parse(await list.json()).data[0]?.id;
  if (model === undefined) throw new Error(`${OPENAI_BASE_URL} serves no model`);
  return {
    url: OPENAI_BASE_URL.replace(/\/v1\/?$/, ""),
    pid: SUITE_PID === undefined ? undefined : Number(SUITE_PID),
    model,
    async chat(text, maxTokens) {
      const body = { model, messages: [{ role: "user", content: text }], max_tokens: maxTokens };
      const startedAt = performance.now();
      const response = await fetch(`${OPENAI_BASE_URL}/chat/completions`, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
      });
      const value: unknown = await response.json();
      const ms = performance.now() - startedAt;
      if (!response.ok) throw new Error(`status ${response.status}: ${JSON.stringify(value).slice(0, 300)}`);
      return { ms, completionTokens: answer.parse(value).usage.completion_tokens };
    },
  };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
