import { once } from "node:events";
import { type Command, Option } from "commander";
import { InputError } from "../exit.ts";
import { startMock } from "../mock.ts";
import { MOCK_FAULTS, type MockFault } from "../mock-faults.ts";
import { delayMs, integer } from "./flags.ts";
import { share } from "./report-flags.ts";

interface MockFlags {
  readonly host: string;
  readonly port: number;
  readonly ttft: number;
  readonly itl: number;
  readonly tokens: number;
  readonly tokensPerChunk: number;
  readonly reasoning: number;
  readonly usage: "continuous" | "end" | "none";
  readonly stallAt?: number;
  readonly stall: number;
  readonly fault: MockFault;
  readonly errorRate: number;
}

export function configureMock(command: Command): void {
  command
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "0 for any free one", integer(0, 65_535), 0)
    .option("--ttft <duration>", "from a request to its first token", delayMs, 0)
    .option("--itl <duration>", "between two chunks", delayMs, 0)
    .option("--tokens <count>", "of an answer, as far as the request allows", integer(0), 16)
    .option("--tokens-per-chunk <count>", "in each chunk", integer(1), 1)
    .option("--reasoning <count>", "how many of the tokens are reasoning", integer(0), 0)
    .addOption(
      new Option("--usage <when>", "what the server tells of its tokens")
        .choices(["continuous", "end", "none"])
        .default("continuous"),
    )
    .option(
      "--stall-at <duration>",
      "everything stands still, once, so long after the first request",
      delayMs,
    )
    .option("--stall <duration>", "for so long", delayMs, 2000)
    .option("--error-rate <percent>", "of chat requests, evenly spread", share, 0)
    .addOption(
      new Option("--fault <kind>", "what befalls them").choices([...MOCK_FAULTS]).default("http_500"),
    )
    .action(mock);
}

async function mock(flags: MockFlags): Promise<void> {
  const { host, port, ttft, itl, tokens, tokensPerChunk, reasoning, usage, fault, errorRate } = flags;
  if (reasoning > tokens) throw new InputError(`--reasoning ${reasoning} is more than --tokens ${tokens}`);
  const server = await startMock({
    host,
    port,
    ttftMs: ttft,
    itlMs: itl,
    tokens,
    tokensPerChunk,
    reasoningTokens: reasoning,
    usage,
    fault,
    errorRate,
    ...(flags.stallAt === undefined ? {} : { stall: { atMs: flags.stallAt, forMs: flags.stall } }),
  });
  console.log(`mock ready at ${server.url}`);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  await server.close();
}
