import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    // A process a file: engines are native code, and a test may end its own process.
    pool: "forks",
    // Many files start servers, workerd or a model: more at once only makes each wait for the processor.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
