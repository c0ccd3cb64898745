/** Tensors and options for a case, made from its name alone. */

import { makeBlockMask } from "./block_masks.ts";
import type { Arrangement, BroadcastAxes, Case, MaskPattern, RotaryForm } from "./case.ts";
import { caseName } from "./case.ts";
import { encode, type StorageType } from "./half.ts";
import { maskMods, scoreMods } from "./mods.ts";
import { normalNumbers, randomNumbers, seedOf } from "./random.ts";
import {
  type Causal,
  type Layout,
  type MaskTensor,
  packedStrides,
  type ReferenceOptions,
  type RotaryOptions,
  type Shape4,
  STATISTICS,
  type TestTensor,
} from "./reference/problem.ts";

/** All that a forward and a backward call need. */
export interface Inputs {
  readonly name: string;
  readonly seed: number;
  readonly q: TestTensor;
  readonly k: TestTensor;
  readonly v: TestTensor;
  readonly dOut: TestTensor;
  readonly dLse?: TestTensor | undefined;
  readonly dEntropy?: TestTensor | undefined;
  readonly options: ReferenceOptions;
}

/** Makes the inputs of a case. */
export function makeInputs(c: Case): Inputs {
  const name = caseName(c);
  const seed = seedOf(name);
  const operand = (label: string, heads: number, rows: number, dim: number, amplitude = 1) =>
    makeTensor(seedOf(`${seed} ${label}`), operandShape(c.layout, c.batch, heads, rows, dim), {
      ...c,
      amplitude,
    });
  return {
    name,
    seed,
    q: operand("q", c.queryHeads, c.lengthQ, c.headDim, c.amplitude),
    k: operand("k", c.kvHeads, c.lengthK, c.headDim),
    v: operand("v", c.kvHeads, c.lengthK, c.valueDim),
    dOut: operand("dOut", c.queryHeads, c.lengthQ, c.valueDim),
    dLse: c.dLse ? plainTensor(seed + 1, [c.batch, c.queryHeads, c.lengthQ]) : undefined,
    dEntropy: c.dEntropy ? plainTensor(seed + 6, [c.batch, c.queryHeads, c.lengthQ]) : undefined,
    options: makeOptions(c, seed),
  };
}

/** The shape of q, k, v or out. */
export function operandShape(
  layout: Layout,
  batch: number,
  heads: number,
  rows: number,
  dim: number,
): number[] {
  return layout === "bshd" ? [batch, rows, heads, dim] : [batch, heads, rows, dim];
}

/** A packed f32 tensor of normal numbers. */
export function plainTensor(seed: number, shape: readonly number[], amplitude = 1): TestTensor {
  return {
    data: Float32Array.from(normalNumbers(seed, elements(shape), amplitude)),
    shape,
  };
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function makeTensor(
  seed: number,
  shape: readonly number[],
  { dtype, storage, arrangement, amplitude }: {
    dtype: StorageType;
    storage: "bits" | "Float16Array";
    arrangement: Arrangement;
    amplitude: number;
  },
): TestTensor {
  const { strides, length, start } = arrange(shape, arrangement);
  // What lies between the elements is NaN: reading it, or writing it, shows at once.
  const values = new Float64Array(start + length).fill(NaN);
  const numbers = normalNumbers(seed, elements(shape), amplitude);
  const [a, b, c, d] = shape as Shape4, [bySequence, byOuter, byInner, one] = strides as Shape4;
  for (let row = 0; row < a * b * c; row++) {
    const [sequence, outer, inner] = [Math.floor(row / (b * c)), Math.floor(row / c) % b, row % c];
    const begin = start + sequence * bySequence + outer * byOuter + inner * byInner;
    for (let n = 0; n < d; n++) values[begin + n * one] = numbers[row * d + n]!;
  }
  const data = encode(values, dtype, storage).subarray(start);
  return {
    data,
    shape,
    ...(data instanceof Uint16Array ? { dtype } : {}),
    ...(arrangement === "packed" ? {} : { strides }),
  };
}

/** Strides, the elements they span, and where the tensor begins in its buffer. */
function arrange(
  shape: readonly number[],
  arrangement: Arrangement,
): { strides: number[]; length: number; start: number } {
  const [a, b, c, d] = shape as Shape4;
  switch (arrangement) {
    case "packed":
      return { strides: packedStrides(shape), length: elements(shape), start: 0 };
    case "padded rows": // odd, so that rows do not stay aligned to vectors
      return { strides: packedStrides([a, b, c, d + 3]), length: a * b * c * (d + 3), start: 0 };
    case "transposed": { // the two middle axes lie the other way round in memory
      const [batch, outer, inner, one] = packedStrides([a, c, b, d]) as Shape4;
      return { strides: [batch, inner, outer, one], length: elements(shape), start: 0 };
    }
    case "view": { // a corner cut out of a larger tensor, not at the start of its buffer
      const whole = [a + 1, b + 2, c + 1, d + 4];
      return { strides: packedStrides(whole), length: elements(whole), start: 5 };
    }
  }
}

function makeOptions(c: Case, seed: number): ReferenceOptions {
  const causal: Causal | undefined = typeof c.causal !== "object"
    ? c.causal
    : typeof c.causal.offset === "number"
    ? { offset: c.causal.offset }
    : { offset: Int32Array.from(c.causal.offset) };
  // Built without undefined values: an option that is not given is absent from the call.
  return {
    ...(c.layout === "bshd" ? {} : { layout: c.layout }),
    ...(c.rotary ? { rotary: makeRotary(c, c.rotary, seed + 8) } : {}),
    ...(c.softmaxScale === undefined ? {} : { softmaxScale: c.softmaxScale }),
    ...(c.softcap === undefined ? {} : { softcap: c.softcap }),
    ...(causal === undefined ? {} : { causal }),
    ...(c.window ? { window: c.window } : {}),
    ...(c.keyLengths ? { keyLengths: Int32Array.from(c.keyLengths) } : {}),
    ...(c.alibiSlopes
      ? { alibiSlopes: plainTensor(seed + 4, broadcastShape(c, c.alibiSlopes), 0.1) }
      : {}),
    ...(c.scoreMod ? { scoreMod: scoreMods[c.scoreMod] } : {}),
    ...(c.maskMod ? { maskMod: maskMods[c.maskMod] } : {}),
    ...(c.blockMask ? { blockMask: makeBlockMask(c, c.blockMask, seed + 7) } : {}),
    ...(c.sink ? { sink: plainTensor(seed + 5, [c.queryHeads], 2) } : {}),
    ...(c.dropout === undefined ? {} : { dropout: makeDropout(c.dropout, seed) }),
    ...(c.stats ? { stats: STATISTICS } : c.dEntropy ? { stats: ["entropy"] } : {}),
    ...(c.bias ? { bias: makeBias(c, c.bias, seed + 2) } : {}),
    ...(c.mask ? { mask: makeMask(c, c.mask.axes, c.mask.pattern, seed + 3) } : {}),
  };
}

/** Positions that tables of this many have. */
const TABLE_POSITIONS = 800;

function makeRotary(c: Case, form: RotaryForm, seed: number): RotaryOptions {
  const { base, dims = c.headDim, interleaved, positions, tables, keys } = form;
  const random = randomNumbers(seed), half = dims / 2;
  const [least, range] = positions === "far"
    ? [1e6, 5000]
    : tables
    ? [0, TABLE_POSITIONS]
    : [-60, 300];
  const given = (length: number) =>
    Int32Array.from(
      { length: positions === "each" ? c.batch * length : length },
      () => least + Math.floor(random() * range),
    );
  const angles = Float64Array.from({ length: TABLE_POSITIONS * half }, () => 7 * random());
  const table = (f: (angle: number) => number) => {
    return { data: Float32Array.from(angles, f), shape: [TABLE_POSITIONS, half] };
  };
  return {
    ...(base === undefined ? {} : { base }),
    ...(form.dims === undefined ? {} : { dims }),
    ...(interleaved ? { interleaved } : {}),
    ...(positions ? { positionsQ: given(c.lengthQ), positionsK: given(c.lengthK) } : {}),
    ...(tables ? { cos: table(Math.cos), sin: table(Math.sin) } : {}),
    ...(keys === undefined ? {} : { keys }),
  };
}

/** A seed that has something in both of its words. */
function makeDropout(probability: number, seed: number): NonNullable<ReferenceOptions["dropout"]> {
  return { probability, seed: BigInt(seed) * 0x9E3779B97F4A7C15n % 2n ** 64n };
}

/** The shape of a broadcast array: "1hqk" keeps an axis of 1, "qk" leaves the leading axes out. */
export function broadcastShape(c: Case, axes: BroadcastAxes): number[] {
  const sizes: Record<string, number> = {
    b: c.batch,
    h: c.queryHeads,
    q: c.lengthQ,
    k: c.lengthK,
    "1": 1,
  };
  return [...axes].map((axis) => sizes[axis]!);
}

function makeBias(c: Case, axes: BroadcastAxes, seed: number): TestTensor {
  const tensor = plainTensor(seed, broadcastShape(c, axes));
  if (c.biasHoles) {
    const random = randomNumbers(seed + 1);
    tensor.data.forEach((_, n) => {
      if (random() < 0.2) tensor.data[n] = -Infinity;
    });
  }
  return tensor;
}

function makeMask(
  c: Case,
  axes: BroadcastAxes,
  pattern: MaskPattern,
  seed: number,
): MaskTensor {
  const shape = broadcastShape(c, axes);
  const [keys = 1, queries = 1] = shape.toReversed();
  const random = randomNumbers(seed);
  const data = new Uint8Array(elements(shape));
  data.forEach((_, n) => {
    const j = n % keys;
    const i = Math.floor(n / keys) % queries;
    const plane = Math.floor(n / (keys * queries));
    data[n] = maskAllows(pattern, plane, i, j, keys, random) ? 1 : 0;
  });
  return { data, shape };
}

function maskAllows(
  pattern: MaskPattern,
  plane: number,
  i: number,
  j: number,
  keys: number,
  random: () => number,
): boolean {
  switch (pattern) {
    case "random":
      return random() < 0.7;
    case "padding": // a different number of real keys in each plane
      return j < keys - ((5 * plane + 3) % (keys + 1));
    case "documents": // block diagonal, with documents of uneven lengths
      return Math.floor((i + plane) ** 1.1 / 23) === Math.floor((j + plane) ** 1.1 / 23);
    case "prefix": // the first keys are seen by all, the rest causally
      return j < keys / 3 || j <= i;
    case "dilated":
      return (i - j) % 3 === 0;
    case "blocks": // whole 64 × 64 tiles, most of them empty, none on the last key block
      return (Math.floor(i / 64) * 5 + Math.floor(j / 64) * 3 + plane) % 4 === 0;
    case "empty rows":
      return i % 3 !== 0 && random() < 0.5;
    case "nothing":
      return false;
  }
}
