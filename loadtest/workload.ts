import type { Profile, Task } from "./profile.ts";
import { integer, type Random, randomFor, uniform, weighted } from "./random.ts";
import type { Call } from "./request.ts";

/** What users ask and how long they think: pure, and the same for the same seed. */
export interface Workload {
  readonly name: string;
  /** The nth request (from 0) of a user; the open loop has one user. */
  call(user: number, n: number): Call;
  /** After it. */
  thinkMs(user: number, n: number): number;
}

export interface WorkloadOptions {
  readonly profile: Profile;
  readonly seed: number;
  readonly chat: ChatOptions;
}

export interface ChatOptions {
  readonly model: string;
  /** First in every prompt, with the request's own number, so that no cache has its prefix; null: prompts repeat. */
  readonly nonce: string | null;
  /** Instead of the profile's. */
  readonly maxTokens: number | null;
  /** Whether the server takes vLLM's `continuous_usage_stats`. */
  readonly hasContinuousUsage: boolean;
}

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export const CHAT_PATH = "/v1/chat/completions";

/** Which of a request's draws it is: each has its own generator. */
const DRAWS = { task: 0, think: 1 } as const;

export function createWorkload({ profile, seed, chat }: WorkloadOptions): Workload {
  const weights = profile.tasks.map(({ weight }) => weight);
  return {
    name: profile.name,
    call(user, n) {
      const random = randomFor(seed, user, n, DRAWS.task);
      const task = profile.tasks[weighted(random, weights)];
      if (task === undefined) throw new RangeError("a profile has at least one task");
      return "chat" in task ? taskCall(task, random, chat, `${user}-${n}`) : getCall(task.get, task.name);
    },
    thinkMs(user, n) {
      if (profile.think === undefined) return 0;
      return uniform(randomFor(seed, user, n, DRAWS.think), ...profile.think.uniform);
    },
  };
}

export function getCall(path: string, name: string): Call {
  return { method: "GET", path, name, body: null, expects: "status", maxTokens: null };
}

interface ChatRequest {
  readonly name: string;
  readonly messages: readonly Message[];
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly isStream: boolean;
  readonly collectsText?: boolean;
}

/** A chat call as the server's options allow. */
export function chatCall(request: ChatRequest, { model, hasContinuousUsage, maxTokens }: ChatOptions): Call {
  const { name, messages, temperature, isStream, collectsText = false } = request;
  const most = maxTokens ?? request.maxTokens;
  const continuous = hasContinuousUsage ? { continuous_usage_stats: true } : {};
  const body = {
    model,
    messages,
    max_tokens: most,
    ...(temperature === undefined ? {} : { temperature }),
    ...(isStream ? { stream: true, stream_options: { include_usage: true, ...continuous } } : {}),
  };
  return {
    method: "POST",
    path: CHAT_PATH,
    name,
    body: JSON.stringify(body),
    expects: isStream ? "stream" : "chat",
    maxTokens: most,
    collectsText,
  };
}

function taskCall(
  { name, chat: task }: Extract<Task, { chat: unknown }>,
  random: Random,
  chat: ChatOptions,
  number: string,
): Call {
  const { prompts, maxTokens, temperature, stream } = task;
  const prompt =
    typeof prompts === "string" ? prompts : (prompts[integer(random, 0, prompts.length - 1)] ?? "");
  const most = typeof maxTokens === "number" ? maxTokens : integer(random, ...maxTokens.int);
  const heat = typeof temperature === "object" ? uniform(random, ...temperature.uniform) : temperature;
  const content = chat.nonce === null ? prompt : `[${chat.nonce}-${number}] ${prompt}`;
  return chatCall(
    {
      name,
      messages: [{ role: "user", content }],
      maxTokens: most,
      isStream: stream,
      ...(heat === undefined ? {} : { temperature: Math.round(heat * 1000) / 1000 }),
    },
    chat,
  );
}
