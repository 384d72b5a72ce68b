import { defineConfig } from "vitest/config";

/** The real engines: started by `run.ts`, one file after the other; each engine takes a core and gigabytes. */
export default defineConfig({
  test: {
    include: ["test/engines/*.suite.ts"],
    environment: "node",
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
