import type { EChartsOption } from "echarts";
import type { SweepPoint } from "../result.ts";
import type { Drawing } from "./drawing.ts";
import { BROKEN, color, frame, lineSeries, MUTED, valueAxis } from "./style.ts";
import { loadFigure } from "./tables.ts";
import type { Say } from "./words.ts";

interface Line {
  readonly name: string;
  readonly read: (point: SweepPoint) => number | undefined;
}

const LINES: readonly Line[] = [
  { name: "E2E p50", read: ({ metrics }) => metrics.e2e?.p50 },
  { name: "E2E p95", read: ({ metrics }) => metrics.e2e?.p95 },
  { name: "TTFT p95", read: ({ metrics }) => metrics.ttft?.p95 },
];
const HEADLINE = 1;

/**
 * Latency over the throughput that was really reached, a dot a step with its load written on it, red where an
 * objective broke. Undefined where nothing was swept.
 */
export function curve(drawings: readonly Drawing[], say: Say): EChartsOption | undefined {
  const swept = drawings.filter(({ points }) => points.length > 0);
  if (swept.length === 0) return undefined;
  const lines = swept.flatMap(({ name, points }, run) =>
    LINES.filter((_, at) => drawings.length === 1 || at === HEADLINE).map((line, at) => {
      const stroke = color(drawings.length === 1 ? at : run);
      return { label: drawings.length === 1 ? line.name : `${name} ${line.name}`, line, points, stroke };
    }),
  );
  const series = lines.map(({ label, line, points, stroke }, at) => ({
    ...lineSeries(label, stroke, []),
    showSymbol: true,
    symbol: "circle",
    data: points.flatMap((point) => {
      const y = line.read(point);
      if (y === undefined) return [];
      const value = [Number(point.requestsPerSecond.toPrecision(5)), Number(y.toPrecision(5))];
      const mark = point.isHeld ? {} : { symbol: "diamond", symbolSize: 11, itemStyle: { color: BROKEN } };
      return [{ name: loadFigure(point.load), value, ...mark }];
    }),
    label: {
      show: at === 0 || drawings.length > 1,
      formatter: "{b}",
      position: "top" as const,
      color: MUTED,
      fontSize: 11,
    },
    labelLayout: { hideOverlap: true },
  }));
  return frame(say("curveChart"), {
    xAxis: valueAxis({ name: say("rpsAxis"), position: "bottom" }),
    yAxis: valueAxis({ name: say("msAxis"), min: 0 }),
    // The last has no points: it explains the colour in the legend.
    series: [...series, lineSeries(say("notHeld"), BROKEN, [])],
  });
}
