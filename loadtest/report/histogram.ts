import type { EChartsOption } from "echarts";
import { binsOf, type Drawing, type Drawn } from "./drawing.ts";
import { color, frame, lineSeries, valueAxis } from "./style.ts";
import type { Say } from "./words.ts";

/** How often which latency was seen, with p50, p95 and p99 marked; undefined when no run measured it. */
export function distribution(
  drawings: readonly Drawing[],
  drawn: Drawn,
  title: string,
  say: Say,
): EChartsOption | undefined {
  const found = drawings.flatMap(({ name, distributions }, at) => {
    const values = distributions[drawn];
    return values === undefined || values.count === 0 ? [] : [{ name, values, at }];
  });
  if (found.length === 0) return undefined;
  const { edges, shares, isLogarithmic } = binsOf(found.map(({ values }) => values));
  const isSingle = drawings.length === 1;
  const marked = isSingle ? (["p50", "p95", "p99"] as const) : (["p95"] as const);
  const low = edges[0] ?? 0;
  const high = edges.at(-1) ?? 1;
  return frame(isSingle ? title : `${title} ${say("dashedP95")}`, {
    xAxis: valueAxis({
      name: say("msAxis"),
      position: "bottom",
      min: tidy(low, "floor"),
      max: tidy(high, "ceil"),
      ...(isLogarithmic ? { logBase: 2 } : {}),
    }),
    yAxis: valueAxis({ name: say("shareAxis"), min: 0 }),
    series: found.map(({ name, values, at }, index) => ({
      ...lineSeries(isSingle ? say(drawn) : name, color(at), steps(edges, shares[index] ?? [])),
      step: "start" as const,
      areaStyle: { opacity: isSingle ? 0.25 : 0.12 },
      lineStyle: { width: 1.5 },
      markLine: {
        silent: true,
        symbol: "none",
        lineStyle: { color: color(at), type: "dashed" as const },
        label: { show: isSingle, formatter: "{b}", color: color(at), fontSize: 11 },
        data: marked
          .filter((percentile) => values[percentile] >= low && values[percentile] <= high)
          .map((percentile) => ({ name: percentile, xAxis: Number(values[percentile].toPrecision(4)) })),
      },
    })),
  });
}

/** A line that turns at the edges, from 0 to 0. */
function steps(edges: readonly number[], shares: readonly number[]): (readonly [number, number])[] {
  const bars = shares.map((share, at): [number, number] => [edges[at + 1] ?? 0, Number(share.toFixed(3))]);
  return [[edges[0] ?? 0, 0], ...bars, [edges.at(-1) ?? 0, 0]];
}

/** An end of an axis with two digits, so that its label is readable. */
function tidy(value: number, way: "floor" | "ceil"): number {
  const unit = 10 ** (Math.floor(Math.log10(Math.max(value, 1e-6))) - 1);
  return Number((Math[way](value / unit) * unit).toPrecision(3));
}
