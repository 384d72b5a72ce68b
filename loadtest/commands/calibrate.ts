import type { Command } from "commander";
import { calibrate, spawnMock, steadyJob, streamCall } from "../calibrate.ts";
import { storeCalibration } from "../calibration-store.ts";
import { EXIT } from "../exit.ts";
import { measure } from "../measure.ts";
import type { Calibration, Distribution } from "../result.ts";

export function configureCalibrate(command: Command): void {
  command
    .option("--json", "print it as JSON to stdout, and nothing else there")
    .action(async ({ json }: { json?: boolean }) => {
      const calibration = await calibrate(say);
      await storeCalibration(calibration);
      process.stdout.write(json === true ? `${JSON.stringify(calibration, null, 2)}\n` : textOf(calibration));
    });
}

export function configureSelfTest(command: Command): void {
  command.action(selfTest);
}

const USERS = 200;
const TIME_MS = 10_000;
/** A figure is true within 2 ms, or 2 %. */
const TOLERANCE = { ms: 2, share: 0.02 };

async function selfTest(): Promise<void> {
  process.stdout.write(textOf(await calibrate(say)));
  say(`truth: ${USERS} users, 200 ms to the first token, 25 ms between chunks`);
  const mock = await spawnMock(["--ttft", "200ms", "--itl", "25ms", "--tokens", "40"]);
  try {
    const { aggregated, verdict } = await measure(steadyJob(mock.url, USERS, TIME_MS, streamCall(40)));
    const truth = await mock.truth();
    const { ttft, tpot, icl, itl, e2e } = aggregated.metrics;
    const lines = [
      ...compare("TTFT", truth.ttft, ttft),
      ...compare("ICL", truth.icl, icl),
      ...compare("ITL", truth.icl, itl),
      ...compare("E2E", truth.e2e, e2e),
      line("TPOT mean", truth.icl?.mean, tpot?.mean),
    ];
    for (const { text } of lines) console.log(text);
    for (const reason of verdict.reasons) console.log(reason);
    const isTrue = lines.every((each) => each.isTrue);
    console.log(isTrue ? "every figure is within 2 ms or 2 % of the truth" : "figures differ from the truth");
    if (!verdict.isValid) process.exitCode = EXIT.invalid;
    else if (!isTrue) process.exitCode = EXIT.sloBroken;
  } finally {
    await mock.stop();
  }
}

const COMPARED = ["mean", "p50", "p90", "p95", "p99"] as const;

function compare(name: string, truth: Distribution | null, measured: Distribution | undefined) {
  return COMPARED.map((key) => line(`${name} ${key}`, truth?.[key], measured?.[key]));
}

function line(name: string, truth: number | undefined, measured: number | undefined) {
  if (truth === undefined || measured === undefined)
    return { isTrue: false, text: `${name.padEnd(10)} not measured` };
  const off = measured - truth;
  const isTrue = Math.abs(off) <= Math.max(TOLERANCE.ms, TOLERANCE.share * truth);
  const figures = `mock ${truth.toFixed(2)} ms, client ${measured.toFixed(2)} ms, ${off >= 0 ? "+" : ""}${off.toFixed(2)} ms`;
  return { isTrue, text: `${isTrue ? "ok  " : "OFF "} ${name.padEnd(10)} ${figures}` };
}

function textOf(calibration: Calibration): string {
  const { requestsPerSecond, chunksPerSecond, streams, overheadMs, nodeVersion } = calibration;
  return `this client on ${calibration.cpuModel}, Node ${nodeVersion}:
  ${requestsPerSecond.toFixed(0)} requests/s (with the mock on the same machine)
  ${streams} streams of 20 tokens/s, ${chunksPerSecond.toFixed(0)} chunks/s
  a chunk takes ${overheadMs.p50.toFixed(2)} ms from the mock's writing to here (p99 ${overheadMs.p99.toFixed(2)} ms)
`;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
