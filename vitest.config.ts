import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    // A process a file: engines are native code, and a test may end its own process.
    pool: "forks",
    // Many files start servers, workerd or a model: more at once only makes each wait for the processor.
    maxWorkers: 2,
    // For what hangs; no measure of speed, since others may use the machine too.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
