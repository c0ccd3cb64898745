/** The parts of a layer beside attention. */

/** RMSNorm of each row: `y = gain · x / rms(x)` (Zhang and Sennrich, 2019). */
export function rmsNorm(x: Float32Array, gain: Float32Array, epsilon: number): Float32Array {
  const dim = gain.length, y = new Float32Array(x.length);
  for (let from = 0; from < x.length; from += dim) {
    let squares = 0;
    for (let c = from; c < from + dim; c++) squares += x[c]! * x[c]!;
    const scale = 1 / Math.sqrt(squares / dim + epsilon);
    for (let c = 0; c < dim; c++) y[from + c] = gain[c]! * (x[from + c]! * scale);
  }
  return y;
}

/** SwiGLU's inner product, in place: `gate = silu(gate) · up` (Shazeer, 2020). */
export function swiGlu(gate: Float32Array, up: Float32Array): void {
  for (let i = 0; i < gate.length; i++) {
    const x = gate[i]!;
    gate[i] = x / (1 + Math.exp(-x)) * up[i]!;
  }
}

/** `x += y`. */
export function add(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!;
}

/** The rows of `table` that belong to tokens. */
export function embed(tokens: Int32Array, table: Float32Array, dim: number): Float32Array {
  const x = new Float32Array(tokens.length * dim);
  tokens.forEach((token, row) => x.set(table.subarray(token * dim, (token + 1) * dim), row * dim));
  return x;
}
