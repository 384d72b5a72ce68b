import { SingleBar } from "cli-progress";
import type { SeriesPoint } from "./result.ts";

/** What is seen of a run while it runs; on stderr, so that stdout has the result alone. */
export interface Live {
  second(point: SeriesPoint): void;
  stop(): void;
}

/** Between two lines where there is no terminal, in seconds. */
const PLAIN_EVERY = 5;

/** A bar with the figures of the moment on a terminal, else a plain line every few seconds. */
export function createLive(
  title: string,
  totalSeconds: number | null,
  stream: NodeJS.WriteStream = process.stderr,
): Live {
  if (stream.isTTY !== true) {
    let seconds = 0;
    return {
      second(point) {
        if (++seconds % PLAIN_EVERY === 0)
          stream.write(`${title} ${timeText(point, totalSeconds)}  ${figuresText(point)}\n`);
      },
      stop() {},
    };
  }
  const bar = new SingleBar({
    stream,
    hideCursor: true,
    barsize: 20,
    format: totalSeconds === null ? "{title} {time}  {figures}" : "{title} {bar} {time}  {figures}",
  });
  bar.start(totalSeconds ?? 1, 0, { title, time: "", figures: "starting" });
  return {
    second(point) {
      const value = Math.min(point.second, totalSeconds ?? 0);
      bar.update(value, { title, time: timeText(point, totalSeconds), figures: figuresText(point) });
    },
    stop: () => bar.stop(),
  };
}

function timeText({ second }: SeriesPoint, totalSeconds: number | null): string {
  return totalSeconds === null
    ? `${second.toFixed(0)} s`
    : `${second.toFixed(0)}/${totalSeconds.toFixed(0)} s`;
}

function figuresText(point: SeriesPoint): string {
  const parts = [
    point.phase === "measured" ? undefined : point.phase,
    `${point.users} users`,
    `${point.inFlight} in flight`,
    `${point.requestsPerSecond.toFixed(1)} req/s`,
    `${point.failuresPerSecond.toFixed(1)} fail/s`,
    point.tokensPerSecond === 0 ? undefined : `${point.tokensPerSecond.toFixed(0)} tok/s`,
    point.ttft === null ? undefined : `TTFT p95 ${point.ttft.p95.toFixed(0)} ms`,
    point.e2e === null ? undefined : `p95 ${point.e2e.p95.toFixed(0)} ms`,
    point.clientLagMs > 5 ? `client lag ${point.clientLagMs.toFixed(0)} ms` : undefined,
  ];
  return parts.filter((part) => part !== undefined).join(" · ");
}
