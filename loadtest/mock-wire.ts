import type { ServerResponse } from "node:http";
import type { MockFault } from "./mock-faults.ts";

/** What one request is answered with. */
export interface Script {
  readonly model: string;
  readonly ttftMs: number;
  readonly itlMs: number;
  readonly tokens: number;
  readonly tokensPerChunk: number;
  readonly reasoningTokens: number;
  readonly finish: "stop" | "length";
  readonly hasUsage: boolean;
  readonly hasUsageInChunks: boolean;
}

export interface ChunkWriter {
  /** Of the answer: none where it has no tokens. */
  readonly chunks: number;
  role(): void;
  /** The nth from 0, stamped with the moment `at` (ms by the machine's monotonic clock). */
  chunk(n: number, at: number): void;
  end(): void;
  /** Goes on as the fault says instead of ending well. */
  fail(fault: MockFault): void;
}

/** Writes one streamed answer. Texts are put together by hand: a thousand streams of it must cost the mock little. */
export function chunkWriter(response: ServerResponse, script: Script): ChunkWriter {
  const head = `data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1,"model":${JSON.stringify(script.model)},"choices":[`;
  const promptTokens = 8;
  const details = (completion: number) =>
    script.reasoningTokens === 0
      ? ""
      : `,"completion_tokens_details":{"reasoning_tokens":${Math.min(completion, script.reasoningTokens)}}`;
  const usage = (completion: number) =>
    `"usage":{"prompt_tokens":${promptTokens},"completion_tokens":${completion},"total_tokens":${promptTokens + completion}${details(completion)}}`;
  const event = (delta: string, finish: string, sent: number) =>
    response.write(
      `${head}{"index":0,"delta":${delta},"finish_reason":${finish}}]${script.hasUsageInChunks ? `,${usage(sent)}` : ""}}\n\n`,
    );
  const sentBy = (n: number) => Math.min(script.tokens, (n + 1) * script.tokensPerChunk);
  const finish = () => event("{}", `"${script.finish}"`, script.tokens);

  return {
    chunks: Math.ceil(script.tokens / script.tokensPerChunk),
    role() {
      event('{"role":"assistant","content":""}', "null", 0);
    },
    chunk(n, at) {
      const before = n * script.tokensPerChunk;
      const words = " w".repeat(sentBy(n) - before - 1);
      const field = before < script.reasoningTokens ? "reasoning_content" : "content";
      event(`{"${field}":"@${at.toFixed(3)} w${words}"}`, "null", sentBy(n));
    },
    end() {
      finish();
      if (script.hasUsage) response.write(`${head}],${usage(script.tokens)}}\n\n`);
      response.end("data: [DONE]\n\n");
    },
    fail(fault) {
      if (fault === "hang_stream") return;
      if (fault === "cut") {
        // What was written before still goes out.
        response.uncork();
        response.socket?.destroySoon();
        return;
      }
      if (fault === "stream_error") response.write('data: {"error":{"message":"a scripted error"}}\n\n');
      if (fault === "bad_json") response.write("data: {not json\n\n");
      response.end("data: [DONE]\n\n");
    },
  };
}

/** The answer in one piece. */
export function wholeAnswer({ model, tokens, reasoningTokens, finish }: Script): object {
  const content = Array.from({ length: Math.max(0, tokens - reasoningTokens) }, () => "w").join(" ");
  const usage = { prompt_tokens: 8, completion_tokens: tokens, total_tokens: 8 + tokens };
  const choice = { index: 0, message: { role: "assistant", content }, finish_reason: finish };
  return { id: "chatcmpl-mock", object: "chat.completion", created: 1, model, choices: [choice], usage };
}
