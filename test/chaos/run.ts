// The whole chaos run: `npm run test:chaos -- [streams] [kills] [seed] [edge]`. Exits with 1 where a bill is wrong.
import { SingleBar } from "cli-progress";
import { runChaos } from "./chaos.ts";
import { openEdge } from "./edge-site.ts";
import { openHost } from "./host-site.ts";

const [streams = 2000, kills = 5, seed = 1] = process.argv.slice(2, 5).map(Number);
const bar = new SingleBar({
  format: "{bar} {value} of {total} streams, {duration_formatted}",
  noTTYOutput: true,
  notTTYSchedule: 10_000,
});
bar.start(streams, 0);
const report = await runChaos(process.argv[5] === "edge" ? openEdge : openHost, {
  streams,
  kills,
  concurrency: 64,
  seed,
  onProgress: (done) => bar.update(done),
});
bar.stop();
const { breaches, violations, byOutcome, statuses } = report;
const listed = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
console.log(`
clients saw                  ${listed(statuses)}
server killed with -9        ${report.kills} times
reached the backend          ${report.reached}
receipts                     ${listed(byOutcome)}
by the engine's own count    ${report.byEngine}, of which ${report.exact} are all that the backend sent
not noted when killed        ${report.lostTokens} tokens
wrong bills                  ${breaches.length}
ledger verify                ${violations.length === 0 ? "holds" : `${violations.length} violations`}`);
for (const line of [...breaches, ...violations].slice(0, 50)) console.log(`  ${line}`);
process.exitCode = breaches.length + violations.length > 0 ? 1 : 0;
