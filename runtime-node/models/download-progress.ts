import type { WriteStream } from "node:tty";
import { type Options, SingleBar } from "cli-progress";

/** Of all files of a model together. */
export interface DownloadProgress {
  /** Of the file that is being fetched. */
  readonly url: string;
  readonly doneBytes: number;
  /** Undefined until the server has told. */
  readonly totalBytes: number | undefined;
}

export interface ProgressBar {
  update(progress: DownloadProgress): void;
  /** Leaves the last state on the screen. Does nothing when nothing was shown. */
  stop(): void;
}

/** Between the lines of a stream that is no terminal. */
const LINE_INTERVAL_MS = 5_000;

/** A bar with percent, megabytes, speed and time left on a terminal; else a plain line every few seconds. */
export function createProgressBar(stream: NodeJS.WriteStream | WriteStream = process.stderr): ProgressBar {
  let bar: SingleBar | undefined;
  let startBytes = 0;
  let startedAt = 0;
  const isTerminal = stream.isTTY === true;
  const options: Options = {
    stream,
    hideCursor: true,
    clearOnComplete: false,
    noTTYOutput: true,
    notTTYSchedule: LINE_INTERVAL_MS,
    format: (_, { value, total, progress }, { name }) => {
      const seconds = (performance.now() - startedAt) / 1000;
      const bytesPerSecond = seconds > 0 ? (value - startBytes) / seconds : 0;
      const done = Math.floor(progress * 100);
      const figures = `${String(done).padStart(3)} %  ${megabytes(value)} of ${megabytes(total)} MB  ${megabytes(bytesPerSecond)} MB/s  ${timeLeft(total - value, bytesPerSecond)}`;
      return isTerminal
        ? `${name}  ${drawBar(progress)}  ${figures}`
        : `downloading ${name}: ${figures.trim()}`;
    },
  };
  return {
    update({ url, doneBytes, totalBytes }) {
      const name = decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? url);
      if (bar === undefined) {
        if (totalBytes === undefined) return;
        startBytes = doneBytes;
        startedAt = performance.now();
        bar = new SingleBar(options);
        bar.start(totalBytes, doneBytes, { name });
        return;
      }
      if (totalBytes !== undefined) bar.setTotal(totalBytes);
      bar.update(doneBytes, { name });
    },
    stop() {
      bar?.stop();
      bar = undefined;
    },
  };
}

function drawBar(progress: number): string {
  const filled = Math.round(Math.min(1, progress) * 24);
  return "█".repeat(filled) + "░".repeat(24 - filled);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function timeLeft(missingBytes: number, bytesPerSecond: number): string {
  if (missingBytes <= 0) return "done";
  if (bytesPerSecond <= 0) return "";
  const seconds = Math.ceil(missingBytes / bytesPerSecond);
  if (seconds < 60) return `${seconds} s left`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}
