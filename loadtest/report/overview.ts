import type { Result } from "../result.ts";
import { objections } from "./checks.ts";
import { figure, loadFigure, plain, type Table, type Tone, toned } from "./tables.ts";
import type { Say } from "./words.ts";

/** What a reader must know before any figure. */
export interface Notice {
  readonly text: string;
  readonly tone: Tone;
}

/** The verdict first: figures of an invalid run must not be read as the server's. */
export function notices(result: Result, say: Say): readonly Notice[] {
  const { verdict, slo, aggregated } = result;
  const broken = slo.filter(({ isHeld }) => !isHeld).map((check) => check.slo);
  const reasons = objections(result, say.language);
  const warnings = verdict.isValid ? reasons : [];
  return [
    verdict.isValid
      ? { text: say("valid"), tone: "good" }
      : { text: [say("invalid"), ...reasons].join("\n"), tone: "bad" },
    ...warnings.map((text): Notice => ({ text, tone: "warn" })),
    ...present(result.window === null, { text: say("noWindow"), tone: "warn" }),
    ...present(aggregated.requests > 0 && aggregated.requests === aggregated.failures, {
      text: say("nothingSucceeded"),
      tone: "bad",
    }),
    ...present(result.wasInterrupted, { text: say("interrupted"), tone: "warn" }),
    ...present(!result.isSteady, { text: say("notSteady"), tone: "bad" }),
    ...present(broken.length > 0, { text: `${say("sloBroken")}: ${broken.join(", ")}`, tone: "bad" }),
    ...present(verdict.isValid && slo.length > 0 && broken.length === 0, {
      text: say("sloHeld"),
      tone: "good",
    }),
  ];
}

export function overview(result: Result, say: Say): Table {
  const { plan, platform, window, aggregated, goodput, achieved } = result;
  const { requests, failures, tokens, tokensPerSecond, tokenSource, metrics } = aggregated;
  const success = requests === 0 ? undefined : (1 - failures / requests) * 100;
  const streamed = tokenSource !== null;
  const speed =
    tokenSource === "chunks" ? say("completionChunksPerSecond") : say("completionTokensPerSecond");
  const tpot = metrics.tpot?.p50;
  const lines: readonly (readonly [string, string | undefined, Tone?])[] = [
    [say("target"), plan.target],
    [say("model"), plan.model ?? undefined],
    [say("load"), loadText(plan.load, say)],
    [
      say("window"),
      window === null ? undefined : `${figure(window.startMs / 1000)}–${figure(window.endMs / 1000)} s`,
    ],
    [say("requests"), String(requests)],
    [say("failures"), String(failures), failures > 0 ? "bad" : "plain"],
    [say("successRate"), success === undefined ? undefined : `${success.toFixed(2)} %`],
    [say("requestsPerSecond"), figure(aggregated.requestsPerSecond)],
    [
      say("goodput"),
      `${figure(goodput.requestsPerSecond)} (${say("goodShare")}: ${(goodput.share * 100).toFixed(1)} %)`,
    ],
    [say("inFlight"), figure(achieved.inFlight)],
    [speed, streamed ? figure(tokensPerSecond.completion) : undefined],
    [
      say("promptTokensPerSecond"),
      streamed && tokenSource !== "chunks" ? figure(tokensPerSecond.prompt) : undefined,
    ],
    [say("decodeSpeed"), tpot === undefined || tpot === 0 ? undefined : `p50 ${figure(1000 / tpot)}`],
    [
      say("e2eTokensPerSecond"),
      aggregated.e2eTokensPerSecond === null ? undefined : figure(aggregated.e2eTokensPerSecond),
    ],
    [say("cachedTokens"), tokens.cached > 0 ? `${tokens.cached} / ${tokens.prompt}` : undefined],
    ...machineLines(result, say),
    [
      say("machine"),
      `${platform.cpuModel}, ${platform.cpuBudget} CPU, ${platform.system} ${platform.machine}, Node ${platform.nodeVersion}`,
    ],
    [say("started"), dateText(result.startedAt)],
    [say("seed"), String(result.seed)],
  ];
  return {
    title: say("overview"),
    head: [],
    rows: lines.flatMap(([name, value, tone = "plain"]) =>
      value === undefined ? [] : [[plain(name), toned(value, tone)]],
    ),
  };
}

function machineLines(
  { server, monitor }: Result,
  say: Say,
): readonly (readonly [string, string | undefined])[] {
  const percent = (values: readonly number[]) => text(values, (mean) => `${figure(mean)} %`);
  const ofServer = server.pid === null ? [] : monitor;
  return [
    [say("serverCpu"), percent(ofServer.flatMap(({ processCpuPercent }) => processCpuPercent ?? []))],
    [
      say("serverMemory"),
      text(
        ofServer.flatMap(({ rssBytes }) => rssBytes ?? []),
        (mean) => `${figure(mean / 2 ** 20)} MiB`,
      ),
    ],
    [say("machineCpu"), percent(monitor.map(({ cpuPercent }) => cpuPercent))],
    [say("machineMemory"), percent(monitor.map(({ memoryPercent }) => memoryPercent))],
  ];
}

function text(values: readonly number[], write: (mean: number) => string): string | undefined {
  return values.length === 0
    ? undefined
    : write(values.reduce((sum, value) => sum + value, 0) / values.length);
}

function loadText(load: Result["plan"]["load"], say: Say): string {
  switch (load.kind) {
    case "users":
      return `${load.users} ${say("users")}, +${load.spawnPerSecond}/s, ${load.profile}${load.stage === null ? "" : ` (${load.stage})`}`;
    case "rate": {
      const to = load.rampTo === null ? "" : `–${load.rampTo}`;
      return `${load.requestsPerSecond}${to} ${say("requestsPerSecond")}, ${load.arrivals}`;
    }
    case "concurrency":
      return `${load.concurrency} ${say("flying")}`;
    case "sweep":
      return `${say("sweep")} (${load.over === "rate" ? say("requestsPerSecond") : say("flying")}): ${load.loads.map(loadFigure).join(", ")}`;
    case "replay":
      return `${load.file} ×${load.speed}`;
    default:
      return load satisfies never;
  }
}

/** @example "2026-11-25 14:00:00 UTC" */
export function dateText(iso: string): string {
  return `${iso.slice(0, 19).replace("T", " ")} UTC`;
}

function present(isPresent: boolean, notice: Notice): readonly Notice[] {
  return isPresent ? [notice] : [];
}
