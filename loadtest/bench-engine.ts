import { parseArgs } from "node:util";

/**
 * `npm run bench:engine`: what the engine in this process promises (bench-llama-cpp.ts). With `-- --engine mlx|vllm|llama_server`:
 * what Sluice adds to an engine of its own (bench-overhead.ts).
 */
const { values } = parseArgs({
  strict: false,
  options: { engine: { type: "string", default: "llama_cpp" } },
});
switch (values.engine) {
  case "llama_cpp":
    await import("./bench-llama-cpp.ts");
    break;
  case "mlx":
  case "vllm":
  case "llama_server": {
    const { benchOverhead } = await import("./bench-overhead.ts");
    process.exitCode = await benchOverhead(values.engine);
    break;
  }
  default:
    throw new Error(`--engine is ${values.engine}; there are llama_cpp, mlx, vllm and llama_server`);
}
