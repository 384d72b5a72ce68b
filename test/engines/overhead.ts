// What Sluice adds to an engine of its own: `SLUICE_ENGINES=…/prepared.json node test/engines/overhead.ts mlx|vllm [requests]`
// (`run.ts` writes prepared.json). The same greedy streams, in turn straight to the engine's port and through the host.
import { readFileSync } from "node:fs";
import { startHost } from "../harness/host.ts";
import { eventsOf, MODEL } from "../harness/wire.ts";
import { makeSupervised, prepared } from "./real-engines.ts";

const [name = "mlx", count = "40"] = process.argv.slice(2);
if (name !== "mlx" && name !== "vllm") throw new Error(`${name} is not mlx or vllm`);

const { engine, close } = await makeSupervised(name);
await engine.initialize();
await engine.loadModel(MODEL, prepared.hf);
const host = await startHost({ engine, config: { models: [{ id: MODEL, source: prepared.hf }] } });
const { port, pid } = engine.status().details;
const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
const key = environment.find((entry) => entry.startsWith("VLLM_API_KEY="))?.split("=")[1] ?? "none";

/** One stream of 32 tokens; resolves with its end-to-end time, in ms. */
async function stream(baseURL: string, model: string): Promise<number> {
  const from = performance.now();
  const messages = [{ role: "user", content: "What is Sluice?" }];
  const options = { stream: true, stream_options: { include_usage: true }, temperature: 0, max_tokens: 32 };
  const response = await fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, messages, ...options }),
  });
  for await (const event of eventsOf(response)) if (event === "[DONE]") break;
  return performance.now() - from;
}

const ways = {
  direct: () => stream(`http://127.0.0.1:${port}/v1`, name === "mlx" ? "default_model" : MODEL),
  sluice: () => stream(host.baseURL, MODEL),
};
const times: Record<keyof typeof ways, number[]> = { direct: [], sluice: [] };
for (let i = 0; i < 5; i++) for (const way of ["direct", "sluice"] as const) await ways[way]();
for (let i = 0; i < Number(count); i++) {
  // Who goes first takes turns: whatever else this machine does then falls on both.
  for (const way of i % 2 === 0 ? (["direct", "sluice"] as const) : (["sluice", "direct"] as const)) {
    times[way].push(await ways[way]());
  }
}
const p50 = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
const sum = (list: readonly number[]) => list.reduce((total, each) => total + each, 0);
const added = p50(times.sluice) - p50(times.direct);
console.log(
  `${name}: p50 ${p50(times.direct).toFixed(1)} ms direct, ${p50(times.sluice).toFixed(1)} ms through Sluice: ${added.toFixed(1)} ms added for 32 tokens; tokens/s ratio ${(sum(times.direct) / sum(times.sluice)).toFixed(3)}`,
);
await host.close();
await close();
