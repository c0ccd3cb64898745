/** Rotary positions (Su et al., 2021), turned in place before rows are attended to or kept. */
import type { RotaryForm } from "./weights.ts";

/** Turns every head of the rows of `x`, [rows, heads, headDim]; row r stands at `positions[r]`. */
export function rotate(
  x: Float32Array,
  positions: Int32Array,
  headDim: number,
  { interleaved, frequencies }: RotaryForm,
): void {
  const pairs = headDim / 2, rowSize = x.length / positions.length;
  const first = interleaved ? 2 : 1, second = interleaved ? 1 : pairs;
  const cos = new Float64Array(pairs), sin = new Float64Array(pairs);
  positions.forEach((position, row) => {
    for (let pair = 0; pair < pairs; pair++) {
      const angle = position * frequencies[pair]!;
      cos[pair] = Math.cos(angle);
      sin[pair] = Math.sin(angle);
    }
    for (let head = row * rowSize; head < (row + 1) * rowSize; head += headDim) {
      for (let pair = 0; pair < pairs; pair++) {
        const i = head + pair * first, j = i + second;
        const a = x[i]!, b = x[j]!;
        x[i] = a * cos[pair]! - b * sin[pair]!;
        x[j] = a * sin[pair]! + b * cos[pair]!;
      }
    }
  });
}
