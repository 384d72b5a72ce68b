import { defineConfig } from "vitest/config";

/** What the real engines do side by side: started by `run.ts`. Each of them takes a core and gigabytes. */
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
