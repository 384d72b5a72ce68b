import { basename } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { monotonicMs } from "../clock.ts";
import { arrivalsDrive, type Fire, waitUntil } from "../driver.ts";
import { openSession, runPlanned, type Session } from "../session.ts";
import { type Conversation, type PrefixGroups, prefixOf, readTrace } from "../trace.ts";
import { CHAT_PATH, chatCall, type Message } from "../workload.ts";
import { integer, positive } from "./flags.ts";
import { addLoadFlags, type LoadFlags, sessionOptions } from "./load-flags.ts";

interface ReplayFlags extends LoadFlags {
  readonly file: string;
  readonly speed: number;
  readonly prefixGroups?: PrefixGroups;
  readonly maxInFlight?: number;
}

export function configureReplay(command: Command): void {
  addLoadFlags(command)
    .requiredOption(
      "--file <trace>",
      "JSONL: timestamp (ms), prompt or turns, max_tokens; or Mooncake's input_length, output_length",
    )
    .option("--speed <factor>", "2x: twice as fast", speed, 1)
    .option("--prefix-groups <N:TOKENS>", "begin each conversation with one of N shared prefixes", groups)
    .option("--max-in-flight <count>", "later conversations wait, and their waiting counts", integer(1))
    .action(replay);
}

async function replay(target: string, flags: ReplayFlags): Promise<void> {
  const conversations = await readTrace(flags.file);
  const session = await openSession(sessionOptions("replay", target, flags, []), true);
  const requests = conversations.reduce((sum, { turns }) => sum + turns.length, 0);
  try {
    const result = await runPlanned(session, {
      load: { kind: "replay", file: basename(flags.file), speed: flags.speed },
      requests,
      warmupMs: flags.warmup ?? 0,
      drive: arrivalsDrive({
        arrivals: conversations.map(({ atMs }) => atMs / flags.speed),
        durationMs: null,
        requests: null,
        maxInFlight: flags.maxInFlight ?? null,
        async send(n, due, fire, signal) {
          const conversation = conversations[n];
          if (conversation !== undefined)
            await converse(conversation, { n, due, fire, signal, session, flags });
        },
      }),
    });
    process.exitCode = result.exitCode;
  } finally {
    session.close();
  }
}

interface Place {
  readonly n: number;
  readonly due: number;
  readonly fire: Fire;
  readonly signal: AbortSignal;
  readonly session: Session;
  readonly flags: ReplayFlags;
}

/** Turn by turn, with the server's own answers in between; it ends early where one fails. */
async function converse(conversation: Conversation, place: Place): Promise<void> {
  const { n, fire, signal, session, flags } = place;
  const { chat } = session;
  const groups = flags.prefixGroups ?? null;
  const said: Message[] = [...prefixOf(groups, n, flags.seed, chat.nonce)];
  // Shared prefixes begin with the run's nonce; without them, each conversation begins with its own.
  const mark = chat.nonce === null || groups !== null ? "" : `[${chat.nonce}-${n}] `;
  let due = place.due;
  for (const [turn, text] of conversation.turns.entries()) {
    if (!(await waitUntil(due, signal))) return;
    said.push({ role: "user", content: turn === 0 ? mark + text : text });
    const call = chatCall(
      {
        name: CHAT_PATH,
        messages: [...said],
        maxTokens: conversation.maxTokens,
        isStream: true,
        collectsText: turn + 1 < conversation.turns.length,
      },
      chat,
    );
    const answer = await fire(call, due, null);
    if (answer.failure !== null) return;
    said.push({ role: "assistant", content: answer.stream?.text ?? "" });
    due = monotonicMs() + conversation.thinkMs / flags.speed;
  }
}

function speed(text: string): number {
  return positive(text.replace(/x$/, ""));
}

function groups(text: string): PrefixGroups {
  const [, count, tokens] = /^(\d+):(\d+)$/.exec(text) ?? [];
  if (Number(count) > 0 && Number(tokens) > 0) return { count: Number(count), tokens: Number(tokens) };
  throw new InvalidArgumentError(`${JSON.stringify(text)} is not allowed; write 4:1000`);
}
