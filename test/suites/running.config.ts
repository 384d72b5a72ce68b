import { defineConfig } from "vitest/config";

/** What is asked of a server that runs: by `run.ts`, one file after the other. No part of `npm test`: it is timed. */
export default defineConfig({
  test: {
    include: ["test/perf/*.perf.ts", "test/compat/*.compat.ts"],
    environment: "node",
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 240_000,
    hookTimeout: 120_000,
  },
});
