/**
 * `y = x · wᵀ` in plain TypeScript: both matrices are row-major with the channels that are summed
 * side by side, as checkpoints have their weights. It is all that is costly beside attention, and it
 * runs on one thread.
 */

/** x is [rows, inputs], w [outputs, inputs], the result [rows, outputs]. */
export function linear(x: Float32Array, w: Float32Array, inputs: number): Float32Array {
  const rows = x.length / inputs, outputs = w.length / inputs;
  const y = new Float32Array(rows * outputs);
  const whole = rows - rows % 4;
  for (let row = 0; row < whole; row += 4) fourRows(x, w, y, row, inputs, outputs);
  for (let row = whole; row < rows; row++) oneRow(x, w, y, row, inputs, outputs);
  return y;
}

/** Each weight is read once for four rows. Written out: V8 keeps locals in registers, not elements. */
function fourRows(
  x: Float32Array,
  w: Float32Array,
  y: Float32Array,
  row: number,
  inputs: number,
  outputs: number,
): void {
  const x0 = row * inputs, x1 = x0 + inputs, x2 = x1 + inputs, x3 = x2 + inputs;
  for (let o = 0; o < outputs; o += 2) {
    const wa = o * inputs, wb = o + 1 < outputs ? wa + inputs : wa;
    let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
    for (let i = 0; i < inputs; i++) {
      const a = w[wa + i]!, b = w[wb + i]!;
      const p = x[x0 + i]!, q = x[x1 + i]!, r = x[x2 + i]!, s = x[x3 + i]!;
      a0 += a * p, a1 += a * q, a2 += a * r, a3 += a * s;
      b0 += b * p, b1 += b * q, b2 += b * r, b3 += b * s;
    }
    const at = row * outputs + o;
    y[at] = a0, y[at + outputs] = a1, y[at + 2 * outputs] = a2, y[at + 3 * outputs] = a3;
    if (wb === wa) continue;
    y[at + 1] = b0, y[at + outputs + 1] = b1;
    y[at + 2 * outputs + 1] = b2, y[at + 3 * outputs + 1] = b3;
  }
}

/** Four outputs at a time, so that the sums do not wait for each other. */
function oneRow(
  x: Float32Array,
  w: Float32Array,
  y: Float32Array,
  row: number,
  inputs: number,
  outputs: number,
): void {
  const from = row * inputs, to = row * outputs, whole = outputs - outputs % 4;
  for (let o = 0; o < whole; o += 4) {
    const w0 = o * inputs, w1 = w0 + inputs, w2 = w1 + inputs, w3 = w2 + inputs;
    let a = 0, b = 0, c = 0, d = 0;
    for (let i = 0; i < inputs; i++) {
      const value = x[from + i]!;
      a += value * w[w0 + i]!, b += value * w[w1 + i]!;
      c += value * w[w2 + i]!, d += value * w[w3 + i]!;
    }
    y[to + o] = a, y[to + o + 1] = b, y[to + o + 2] = c, y[to + o + 3] = d;
  }
  for (let o = whole; o < outputs; o++) {
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += x[from + i]! * w[o * inputs + i]!;
    y[to + o] = sum;
  }
}
