import { defineConfig } from "vitest/config";

/** The clients' tests and the API's checks, in front of one real engine: started by `run.ts`. */
export default defineConfig({
  test: {
    include: [
      "test/clients/*.test.ts",
      "test/checks/{demo-tokens,logprobs,structured,text-completions,tools}.test.ts",
    ],
    environment: "node",
    globalSetup: "test/engines/serve.ts",
    setupFiles: "test/engines/unable.ts",
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
