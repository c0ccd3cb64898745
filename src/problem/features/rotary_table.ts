// Cosines and sines of rotary positions: angles in float64 on the host, because those of float32 are off by more than
// a result may be from some thousand positions on. Rows of them in float32 are all that kernels see.

/** How pairs of columns turn, checked. */
export interface RotaryForm {
  /** Leading columns that turn, an even number. */
  readonly dims: number;
  /** Pairs are neighbours (GPT-J), or else columns p and p + dims / 2 (GPT-NeoX). */
  readonly interleaved: boolean;
  /** Pair p turns by position · base^(-2p / dims); not looked at where there are tables. */
  readonly base: number;
  /** Cosines and sines of each position from 0, dims / 2 of each. */
  readonly tables?: RotaryTables | undefined;
}

/** Tables of a caller: dims / 2 cosines and sines of each position. They are read while the call is checked only. */
export interface RotaryTables {
  readonly positions: number;
  cos(position: number): ArrayLike<number>;
  sin(position: number): ArrayLike<number>;
}

/**
 * A position is a multiple of this and a rest: the rotation by both is that by one after that by the other, which is
 * cheaper than a cosine and a sine of each position and as exact. What a position has does not depend on the others.
 */
const STRIDE = 32;

/** Cosines of all pairs, then their sines, in float64. */
function turn(position: number, frequencies: Float64Array): Float64Array {
  const half = frequencies.length, row = new Float64Array(2 * half);
  for (let p = 0; p < half; p++) {
    const angle = position * frequencies[p]!;
    row[p] = Math.cos(angle);
    row[half + p] = Math.sin(angle);
  }
  return row;
}

function fromAngles({ dims, base }: RotaryForm, positions: ArrayLike<number>, table: Float32Array) {
  const half = dims / 2;
  const frequencies = Float64Array.from({ length: half }, (_, p) => base ** (-2 * p / dims));
  const rests: Float64Array[] = [];
  let multiple = NaN, far: Float64Array = new Float64Array(dims);
  for (let n = 0, at = 0; n < positions.length; n++, at += dims) {
    const position = positions[n]!, rest = position - STRIDE * Math.floor(position / STRIDE);
    if (position - rest !== multiple) {
      multiple = position - rest;
      far = turn(multiple, frequencies);
    }
    const near = rests[rest] ??= turn(rest, frequencies);
    for (let p = 0; p < half; p++) {
      const c = far[p]!, s = far[half + p]!, u = near[p]!, v = near[half + p]!;
      table[at + p] = c * u - s * v;
      table[at + half + p] = s * u + c * v;
    }
  }
}

/**
 * A row of `dims` numbers for each of `positions`: the cosines of all pairs, then their sines. Positions are integers;
 * with tables they lie in them.
 */
export function rotaryTable(
  form: RotaryForm,
  positions: ArrayLike<number>,
): Float32Array<ArrayBuffer> {
  const { dims, tables } = form, half = dims / 2;
  const table = new Float32Array(positions.length * dims);
  if (!tables) fromAngles(form, positions, table);
  for (let n = 0; tables && n < positions.length; n++) {
    table.set(tables.cos(positions[n]!), n * dims);
    table.set(tables.sin(positions[n]!), n * dims + half);
  }
  return table;
}

/** Turns the row of `x` that begins at `at` by row `n` of a table; `inverse`: back. The bits of the CPU's kernel. */
export function rotateRow(
  x: Float32Array,
  at: number,
  table: Float32Array,
  n: number,
  { dims, interleaved }: Pick<RotaryForm, "dims" | "interleaved">,
  inverse = false,
): void {
  const half = dims / 2, [apart, across] = interleaved ? [2, 1] : [1, half], f32 = Math.fround;
  for (let p = 0; p < half; p++) {
    const first = at + p * apart, second = first + across;
    const a = x[first]!, b = x[second]!, cos = table[n * dims + p]!;
    const sin = inverse ? -table[n * dims + half + p]! : table[n * dims + half + p]!;
    x[first] = f32(a * cos) - f32(b * sin);
    x[second] = f32(b * cos) + f32(a * sin);
  }
}
