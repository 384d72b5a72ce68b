import { expect, it } from "vitest";
import { runChaos } from "./chaos.ts";
import { openEdge } from "./edge-site.ts";
import { openHost } from "./host-site.ts";

it.each([
  {
    promise: "bills every request that reached a backend exactly once, through aborts, deaths and a kill -9",
    openSite: openHost,
  },
  {
    promise:
      "bills at the edge every request that reached a backend exactly once, also when workerd is killed",
    openSite: openEdge,
  },
])(
  "$promise",
  async ({ openSite }) => {
    const report = await runChaos(openSite, { streams: 200, kills: 1, concurrency: 32, seed: 7 });
    expect(report.breaches).toEqual([]);
    expect(report.violations).toEqual([]);
    expect(report.kills).toBe(1);
    // Each kind of end was there, so that the checks above had something to find.
    expect(Object.keys(report.byOutcome).toSorted()).toEqual([
      "client_aborted",
      "completed",
      "lost",
      "upstream_error",
    ]);
  },
  120_000,
);
