import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Resvg } from "@resvg/resvg-js";
import type { Chart } from "./charts.ts";

const FONT = "DejaVu Sans";
const WIDTH = 960;
const HEIGHT = 480;
/** Sharp on the screens of today, and in print. */
const SCALE = 2;

/** The page's own script: what a page shows, a picture shows, and a package holds the library once. */
const echarts: typeof import("echarts") = createRequire(import.meta.url)("#assets/echarts.cjs");

/** There is no canvas to measure text with, and echarts' guess is for a narrower font: legends would overlap. */
const EM_A_LETTER = 0.63;
echarts.setPlatformAPI({
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
  const chart = echarts.init(
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
