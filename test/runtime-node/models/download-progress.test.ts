import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { createProgressBar } from "../../../runtime-node/models/download-progress.ts";

const url = "https://hub.example/user/repo/resolve/main/m-Q8_0.gguf";

/** A stream that collects what is written, as a terminal or as a file. */
function createOutput(isTTY: boolean): { stream: NodeJS.WriteStream; text(): string } {
  const stream = new PassThrough();
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  // Only what cli-progress asks of a terminal.
  const terminal = Object.assign(stream, {
    isTTY,
    columns: 120,
    rows: 40,
    cursorTo() {},
    clearLine() {},
    moveCursor() {},
  });
  return { stream: terminal as unknown as NodeJS.WriteStream, text: () => text };
}

test("shows name, percent and megabytes on a terminal", () => {
  const output = createOutput(true);
  const bar = createProgressBar(output.stream);
  bar.update({ url, doneBytes: 0, totalBytes: 200_000_000 });
  bar.update({ url, doneBytes: 100_000_000, totalBytes: 200_000_000 });
  bar.stop();
  expect(output.text()).toMatch(/m-Q8_0\.gguf .*█.*░.* 50 % {2}100\.0 of 200\.0 MB/);
});

test("writes plain lines where there is no terminal", () => {
  const output = createOutput(false);
  const bar = createProgressBar(output.stream);
  bar.update({ url, doneBytes: 0, totalBytes: 200_000_000 });
  bar.update({ url, doneBytes: 200_000_000, totalBytes: 200_000_000 });
  bar.stop();
  const lines = output.text().trim().split("\n");
  expect(lines.at(-1)).toMatch(/^downloading m-Q8_0\.gguf: 100 % {2}200\.0 of 200\.0 MB/);
  expect(output.text()).not.toContain("\u001b");
  expect(output.text()).not.toContain("█");
});

test("shows nothing when there was nothing to fetch", () => {
  const output = createOutput(true);
  createProgressBar(output.stream).stop();
  expect(output.text()).toBe("");
});
