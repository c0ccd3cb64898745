/** The other parts of the model, each a forward function beside its hand-written gradient. */

const NORM_EPSILON = 1e-5;

/** `y[r] += table[tokens[r]]`: one row of the table for each byte. */
export function embed(
  tokens: Uint8Array,
  table: Float32Array,
  y: Float32Array,
): void {
  const dim = y.length / tokens.length;
  for (let r = 0; r < tokens.length; r++) {
    const from = tokens[r]! * dim;
    for (let c = 0; c < dim; c++) y[r * dim + c]! += table[from + c]!;
  }
}

/** Gradient of {@linkcode embed}: each row of dy lands on the row its byte was read from. */
export function embedGradient(
  tokens: Uint8Array,
  dy: Float32Array,
  dTable: Float32Array,
): void {
  const dim = dy.length / tokens.length;
  for (let r = 0; r < tokens.length; r++) {
    const to = tokens[r]! * dim;
    for (let c = 0; c < dim; c++) dTable[to + c]! += dy[r * dim + c]!;
  }
}

/** RMSNorm of each row: `y = gain · x / rms(x)` (Zhang and Sennrich, 2019). */
export function rmsNorm(x: Float32Array, gain: Float32Array): Float32Array {
  const dim = gain.length;
  const y = new Float32Array(x.length);
  for (let from = 0; from < x.length; from += dim) {
    const scale = inverseRms(x, from, dim);
    for (let c = 0; c < dim; c++) y[from + c] = gain[c]! * x[from + c]! * scale;
  }
  return y;
}

/** Gradients of {@linkcode rmsNorm}, added to dx and dGain. */
export function addRmsNormGradients(
  x: Float32Array,
  gain: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
  dGain: Float32Array,
): void {
  const dim = gain.length;
  for (let from = 0; from < x.length; from += dim) {
    const scale = inverseRms(x, from, dim);
    let along = 0; // how much of the gradient merely rescales the row, which the norm undoes
    for (let c = 0; c < dim; c++) {
      const unit = x[from + c]! * scale;
      dGain[c]! += dy[from + c]! * unit;
      along += dy[from + c]! * gain[c]! * unit;
    }
    along /= dim;
    for (let c = 0; c < dim; c++) {
      dx[from + c]! += scale *
        (dy[from + c]! * gain[c]! - x[from + c]! * scale * along);
    }
  }
}

function inverseRms(x: Float32Array, from: number, dim: number): number {
  let squares = 0;
  for (let c = from; c < from + dim; c++) squares += x[c]! * x[c]!;
  return 1 / Math.sqrt(squares / dim + NORM_EPSILON);
}

/**
 * Mean of `−log softmax(logits)[target]` over the rows, in nats. The logits are overwritten with
 * their gradient, so the largest array of the model exists once.
 */
export function crossEntropyInPlace(
  logits: Float32Array,
  bias: Float32Array,
  targets: Uint8Array,
): number {
  const classes = bias.length;
  const rows = targets.length;
  let loss = 0;
  for (let r = 0; r < rows; r++) {
    const from = r * classes;
    let largest = -Infinity;
    for (let c = 0; c < classes; c++) {
      const logit = logits[from + c]! + bias[c]!;
      logits[from + c] = logit;
      if (logit > largest) largest = logit;
    }
    const target = logits[from + targets[r]!]! - largest;
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      const e = Math.exp(logits[from + c]! - largest);
      logits[from + c] = e;
      sum += e;
    }
    loss += Math.log(sum) - target;
    const scale = 1 / (sum * rows);
    for (let c = 0; c < classes; c++) logits[from + c]! *= scale;
    logits[from + targets[r]!]! -= 1 / rows;
  }
  return loss / rows;
}

/** Gradient of a bias added to every row: the sum of the rows. */
export function addBiasGradient(dy: Float32Array, dBias: Float32Array): void {
  const dim = dBias.length;
  for (let from = 0; from < dy.length; from += dim) {
    for (let c = 0; c < dim; c++) dBias[c]! += dy[from + c]!;
  }
}
