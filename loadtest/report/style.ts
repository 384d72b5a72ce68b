import type { EChartsOption, LineSeriesOption, XAXisComponentOption, YAXisComponentOption } from "echarts";

/** Okabe and Ito's colours: told apart by colour-blind readers too. */
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"] as const;
const INK = "#1f2933";
const GRID = "#e4e7eb";
export const MUTED = "#6b7785";
export const BROKEN = "#c62828";

const LEGEND = {
  type: "scroll",
  top: 36,
  left: 10,
  right: 10,
  itemGap: 20,
  itemWidth: 16,
  itemHeight: 4,
  icon: "roundRect",
} as const;

export function color(at: number): string {
  return PALETTE[at % PALETTE.length] ?? INK;
}

/** What all charts have in common; in a narrow window the same with less room around. */
export function frame(title: string, option: EChartsOption): EChartsOption {
  return {
    animation: false,
    color: [...PALETTE],
    title: { text: title, left: 12, top: 8, textStyle: { color: INK, fontSize: 16, fontWeight: "bold" } },
    legend: { ...LEGEND, textStyle: { color: INK } },
    tooltip: { trigger: "axis", confine: true },
    grid: { top: 90, bottom: 46, left: 62, right: 24 },
    ...option,
  };
}

type Axis = XAXisComponentOption & YAXisComponentOption;

/** A numeric axis; its name stands where it can't be cut off. */
export function valueAxis(options: {
  readonly name: string;
  readonly position?: "bottom";
  readonly min?: number;
  readonly max?: number | "dataMax";
  readonly gridIndex?: number;
  readonly splitNumber?: number;
  readonly logBase?: number;
}): Axis {
  const { position, logBase, ...rest } = options;
  return {
    ...rest,
    ...(logBase === undefined ? { type: "value" } : { type: "log", logBase }),
    ...(position === undefined
      ? { nameLocation: "end", nameTextStyle: { align: "left", padding: [0, 0, 0, -46], color: MUTED } }
      : { nameLocation: "middle", nameGap: 26, nameTextStyle: { color: MUTED } }),
    axisLine: { show: position !== undefined, lineStyle: { color: MUTED } },
    axisLabel: { color: INK, hideOverlap: true },
    splitLine: { show: position === undefined, lineStyle: { color: GRID } },
  };
}

export function lineSeries(
  name: string,
  stroke: string,
  data: readonly (readonly [number, number | null])[],
): LineSeriesOption {
  return {
    type: "line",
    name,
    data: data.map(([x, y]) => [x, y ?? "-"]),
    showSymbol: false,
    symbolSize: 7,
    lineStyle: { width: 2 },
    itemStyle: { color: stroke },
  };
}
