/** The loss curve as a picture, beside what simpler predictors would reach. */
import { Canvas, type Colour, type Point, textWidth } from "./canvas.ts";
import type { History, LossPoint } from "./train.ts";

export interface ReferenceLine {
  label: string;
  loss: number;
}

const WIDTH = 1200, HEIGHT = 720;
const LEFT = 90, RIGHT = 40, TOP = 110, BOTTOM = 80;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT, PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;

const PAGE: Colour = [250, 250, 252];
const PLOT: Colour = [255, 255, 255];
const INK: Colour = [32, 35, 44];
const QUIET: Colour = [112, 118, 132];
const GRID: Colour = [229, 231, 236];
const EACH_STEP: Colour = [184, 208, 240];
const TRAINING: Colour = [31, 97, 186];
const HELD_OUT: Colour = [214, 84, 32];
const REFERENCE: Colour = [96, 102, 116];

/** Draws the run and returns a PNG file. `subtitle` says what was trained on what. */
export function drawLossCurve(
  history: History,
  references: readonly ReferenceLine[],
  subtitle: string,
): Uint8Array<ArrayBuffer> {
  const canvas = new Canvas(WIDTH, HEIGHT, PAGE);
  const everyLoss = [...history.training, ...history.heldOut, ...references]
    .map((p) => p.loss);
  const lowest = Math.floor(2 * (Math.min(...everyLoss) - 0.1)) / 2;
  const highest = Math.ceil(2 * (Math.max(...everyLoss) + 0.1)) / 2;
  const steps = Math.max(1, history.training.length);
  const toPixel = ({ step, loss }: LossPoint): Point => ({
    x: LEFT + PLOT_WIDTH * step / steps,
    y: TOP + PLOT_HEIGHT * (highest - loss) / (highest - lowest),
  });

  canvas.drawText("Loss while training", LEFT, 28, { size: 3, colour: INK });
  canvas.drawText(subtitle, LEFT, 66, { colour: QUIET });
  canvas.fillRectangle(LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT, PLOT);
  drawAxes(canvas, steps, lowest, highest, toPixel);

  for (const { loss } of references) {
    const ends = [toPixel({ step: 0, loss }), toPixel({ step: steps, loss })];
    canvas.drawLines(ends, REFERENCE, 1.4, [7, 5]);
  }
  canvas.drawLines(history.training.map(toPixel), EACH_STEP, 1.2);
  canvas.drawLines(smoothed(history.training).map(toPixel), TRAINING, 2.6);
  canvas.drawLines(history.heldOut.map(toPixel), HELD_OUT, 2);
  for (const point of history.heldOut) {
    canvas.fillCircle(toPixel(point), 4, HELD_OUT);
  }
  for (const { label, loss } of references) {
    labelLine(
      canvas,
      `${label} ${loss.toFixed(3)}`,
      toPixel({ step: steps, loss }),
    );
  }
  canvas.strokeRectangle(LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT, QUIET);
  drawLegend(canvas, history);
  return canvas.toPng();
}

function drawAxes(
  canvas: Canvas,
  steps: number,
  lowest: number,
  highest: number,
  toPixel: (point: LossPoint) => Point,
): void {
  for (let loss = lowest; loss <= highest + 1e-9; loss += 0.5) {
    const { y } = toPixel({ step: 0, loss });
    canvas.fillRectangle(LEFT, Math.round(y), PLOT_WIDTH, 1, GRID);
    canvas.drawText(loss.toFixed(1), LEFT - 10, Math.round(y) - 7, {
      align: "right",
      size: 2,
      colour: INK,
    });
  }
  const stride = roundStride(steps / 8);
  for (let step = 0; step <= steps; step += stride) {
    const { x } = toPixel({ step, loss: lowest });
    canvas.fillRectangle(Math.round(x), TOP, 1, PLOT_HEIGHT, GRID);
    canvas.drawText(`${step}`, x, TOP + PLOT_HEIGHT + 12, {
      align: "centre",
      size: 2,
      colour: INK,
    });
  }
  canvas.drawText("step", LEFT + PLOT_WIDTH / 2, HEIGHT - 34, {
    align: "centre",
    size: 2,
    colour: QUIET,
  });
  canvas.drawText("nats per byte", LEFT, TOP - 16, { colour: QUIET });
}

/** Writes above the right end of a line, on a plate that keeps curves from crossing the words. */
function labelLine(canvas: Canvas, label: string, end: Point): void {
  const width = textWidth(label),
    right = end.x - 10,
    top = Math.round(end.y) - 14;
  canvas.fillRectangle(
    Math.round(right - width) - 3,
    top - 2,
    width + 6,
    12,
    PLOT,
  );
  canvas.drawText(label, right, top, { align: "right", colour: REFERENCE });
}

function drawLegend(canvas: Canvas, history: History): void {
  const last = smoothed(history.training).at(-1)?.loss ?? NaN;
  const heldOut = history.heldOut.at(-1)?.loss ?? NaN;
  const entries: { label: string; colour: Colour; dot?: boolean }[] = [
    { label: "each step", colour: EACH_STEP },
    {
      label: `training, smoothed: ends at ${last.toFixed(3)}`,
      colour: TRAINING,
    },
    {
      label: `held out, never trained on: ${heldOut.toFixed(3)}`,
      colour: HELD_OUT,
      dot: true,
    },
  ];
  const size = 2, lineHeight = 26;
  const width = 76 +
    Math.max(...entries.map(({ label }) => textWidth(label, size)));
  const height = entries.length * lineHeight + 18;
  const left = LEFT + PLOT_WIDTH - width - 20, top = TOP + 70;
  canvas.fillRectangle(left, top, width, height, PLOT);
  canvas.strokeRectangle(left, top, width, height, GRID);
  for (const [i, { label, colour, dot }] of entries.entries()) {
    const y = top + 22 + i * lineHeight;
    canvas.drawLines([{ x: left + 14, y }, { x: left + 46, y }], colour, 2.6);
    if (dot) canvas.fillCircle({ x: left + 30, y }, 4, colour);
    canvas.drawText(label, left + 60, y - 7, { size, colour: INK });
  }
}

/** A mean over about the last 25 steps, over fewer at the start, where the loss falls fast. */
function smoothed(points: readonly LossPoint[]): LossPoint[] {
  let mean = points[0]?.loss ?? NaN;
  return points.map(({ step, loss }, i) => {
    mean += (loss - mean) / Math.min(25, 1 + i / 4);
    return { step, loss: mean };
  });
}

/** 1, 2 or 5 times a power of ten, at least `least` and at least 1. */
function roundStride(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((n) => n * power).find((stride) => stride >= least) ?? power;
}
