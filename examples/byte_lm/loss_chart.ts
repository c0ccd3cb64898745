/** The loss curve as a figure, beside what simpler predictors would reach. */
import { dot, gridX, gridY, line, ruleY, text } from "@observablehq/plot";
import { drawFigure, type Figure } from "../../tools/plot/figure.ts";
import { BLUE, FAINT, GRID, INK, ORANGE, QUIET } from "../../tools/plot/palette.ts";
import type { History, LossPoint } from "./train.ts";

export interface ReferenceLine {
  label: string;
  loss: number;
}

const WIDTH = 1000, HEIGHT = 600;
const TRAINING = BLUE, HELD_OUT = ORANGE;

/** Draws the run. `subtitle` says what was trained on what. */
export function drawLossCurve(
  history: History,
  references: readonly ReferenceLine[],
  subtitle: string,
): Figure {
  const { training, heldOut } = history, smooth = smoothed(training);
  const steps = Math.max(1, training.length);
  const at = { x: "step", y: "loss" } as const;
  const last = (points: readonly LossPoint[]) => (points.at(-1)?.loss ?? NaN).toFixed(3);
  const legend = [
    { colour: FAINT, text: "each step" },
    { colour: TRAINING, text: `training, smoothed: ends at ${last(smooth)}` },
    { colour: HELD_OUT, text: `held out, never trained on: ${last(heldOut)}` },
  ];
  const heading = (words: string, dy: number, fontSize: number, fill: string) =>
    text([words], { frameAnchor: "top-left", dy, fontSize, fill });
  return drawFigure({
    label: "Loss while training",
    description: `${subtitle}. ${legend.slice(1).map(({ text }) => text).join("; ")}; ` +
      references.map(({ label, loss }) => `${label} ${loss.toFixed(3)}`).join(", "),
    ...{ width: WIDTH, height: HEIGHT, marginTop: 86, marginRight: 24, marginLeft: 52 },
    ...{ marginBottom: 48, style: { fontSize: "13px" } },
    x: { domain: [0, steps], label: "step", labelAnchor: "center", labelArrow: "none" },
    y: { label: null, nice: true, ticks: 8 },
    marks: [
      ...[gridX({ stroke: GRID, strokeOpacity: 1 }), gridY({ stroke: GRID, strokeOpacity: 1 })],
      ruleY(references, { y: "loss", stroke: QUIET, strokeDasharray: "7 5" }),
      line(training, { ...at, stroke: FAINT, strokeWidth: 1 }),
      line(smooth, { ...at, stroke: TRAINING, strokeWidth: 2.5 }),
      line(heldOut, { ...at, stroke: HELD_OUT, strokeWidth: 2 }),
      dot(heldOut, { ...at, fill: HELD_OUT, r: 4, title: ({ loss }: LossPoint) => `${loss}` }),
      text(references, {
        ...{ x: steps, y: "loss", dx: -6, dy: -9, textAnchor: "end", fill: QUIET },
        text: ({ label, loss }: ReferenceLine) => `${label} ${loss.toFixed(3)}`,
      }),
      heading("Loss while training", -72, 20, INK),
      heading(subtitle, -44, 12, QUIET),
      text(["nats per byte"], { frameAnchor: "top-left", dx: -44, dy: -18, fill: QUIET }),
      ...legend.flatMap(({ colour, text: words }, n) => {
        const place = { frameAnchor: "top-right", dy: 74 + 22 * n } as const;
        return [
          text(["\u2501\u2501"], { ...place, dx: -270, fill: colour, stroke: colour }),
          text([words], { ...place, dx: -258, textAnchor: "start", fill: INK }),
        ];
      }),
    ],
  });
}

/** A mean over about the last 25 steps, over fewer at the start, where the loss falls fast. */
function smoothed(points: readonly LossPoint[]): LossPoint[] {
  let mean = points[0]?.loss ?? NaN;
  return points.map(({ step, loss }, i) => {
    mean += (loss - mean) / Math.min(25, 1 + i / 4);
    return { step, loss: mean };
  });
}
