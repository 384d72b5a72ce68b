import { fileURLToPath } from "node:url";
import { Resvg } from "@resvg/resvg-js";
import { LineChart } from "echarts/charts";
import {
  AxisPointerComponent,
  GridComponent,
  LegendComponent,
  LegendScrollComponent,
  MarkAreaComponent,
  MarkLineComponent,
  TitleComponent,
  TooltipComponent,
} from "echarts/components";
import { init, setPlatformAPI, use } from "echarts/core";
import { LabelLayout } from "echarts/features";
import { SVGRenderer } from "echarts/renderers";
import type { Chart } from "./charts.ts";

const FONT = "DejaVu Sans";
const WIDTH = 960;
const HEIGHT = 480;
/** Sharp on the screens of today, and in print. */
const SCALE = 2;

use([
  LineChart,
  AxisPointerComponent,
  GridComponent,
  LabelLayout,
  LegendComponent,
  LegendScrollComponent,
  MarkAreaComponent,
  MarkLineComponent,
  SVGRenderer,
  TitleComponent,
  TooltipComponent,
]);

/** There is no canvas to measure text with, and echarts' guess is for a narrower font: legends would overlap. */
const EM_A_LETTER = 0.63;
setPlatformAPI({
  measureText: (text, font) => {
    const size = Number(/(\d+(?:\.\d+)?)px/.exec(font ?? "")?.[1] ?? 12);
    return { width: text.length * size * EM_A_LETTER };
  },
});

/**
 * Draws a chart without a browser. The font comes with the project, so that the picture is the same on every
 * machine; it has no Chinese, so pictures are in English.
 */
export function pngOf({ option }: Chart): Uint8Array {
  const chart = init(
    null,
    { textStyle: { fontFamily: FONT } },
    { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT },
  );
  try {
    chart.setOption(option);
    const files = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"].map((file) =>
      fileURLToPath(import.meta.resolve(`#assets/${file}`)),
    );
    const picture = new Resvg(chart.renderToSVGString(), {
      background: "#ffffff",
      fitTo: { mode: "zoom", value: SCALE },
      font: { fontFiles: files, loadSystemFonts: false, defaultFontFamily: FONT },
    });
    return picture.render().asPng();
  } finally {
    chart.dispose();
  }
}
