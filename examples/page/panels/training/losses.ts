/** The losses of a run as a chart shows them: however many steps, a hundred or so points. */
import type { LossPoint } from "../../../byte_lm/train.ts";

/** Points of a chart. */
const POINTS = 150;

/** Mean losses of neighbouring steps, at most `most` of them. */
export function thinned(points: readonly LossPoint[], most: number = POINTS): LossPoint[] {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return [...points];
  return Array.from({ length: Math.ceil(points.length / size) }, (_, n) => {
    const part = points.slice(n * size, (n + 1) * size);
    const loss = part.reduce((sum, point) => sum + point.loss, 0) / part.length;
    return { step: part.at(-1)!.step, loss };
  });
}

/** Mean of the last losses: one step is one random piece of text, and noisy. */
export function recent(points: readonly LossPoint[], count: number = 50): number {
  const last = points.slice(-count);
  return last.reduce((sum, { loss }) => sum + loss, 0) / last.length;
}
