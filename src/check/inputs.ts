// The numbers of a problem, made from its seed: as the formula reads them, and as the checked functions get them.
import type { Layout } from "../problem/call_options.ts";
import { narrowed, widened } from "../tensor/convert.ts";
import type { Broadcast, Formula } from "./formula.ts";
import type { CheckedBackwardOptions, CheckedCallOptions, CheckedTensor } from "./given.ts";
import type { CheckedOption, CheckedProblem } from "./problem.ts";
import { integer, normals, randomNumbers, seedOf } from "../tensor/random.ts";
import type { StorageName } from "./settings.ts";

/** Scores of some hundreds come of rows whose numbers have this deviation. */
const LARGE = 12;

/** Values as a storage type holds them. */
export function storedAs(values: Float64Array, storage: StorageName): Float64Array {
  const rounded = Float32Array.from(values);
  return Float64Array.from(
    storage === "f32" ? rounded : widened(narrowed(rounded, storage), storage),
  );
}

/** The numbers of a problem. */
export function formulaOf(problem: CheckedProblem, storage: StorageName): Formula {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim, options } = problem;
  const has = (option: CheckedOption) => options.includes(option);
  const numbers = (name: string, count: number, deviation = 1) =>
    storedAs(normals(seedOf(problem.seed, name), count, deviation), storage);
  const size = has("largeScores") ? LARGE : 1;
  const rows = batch * queryHeads * lengthQ, columns = batch * kvHeads * lengthK;
  const random = randomNumbers(seedOf(problem.seed, "options"));
  const draws = Array.from({ length: 8 }, random) as [number, number, number, number];
  const standard = 1 / Math.sqrt(headDim);
  const float32 = (value: number) => Math.fround(value);
  return {
    ...{ batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim },
    q: numbers("q", rows * headDim, size),
    k: numbers("k", columns * headDim, size),
    v: numbers("v", columns * valueDim),
    dOut: numbers("dOut", rows * valueDim),
    scale: has("softmaxScale") ? float32(standard * (0.3 + draws[0])) : standard,
    softcap: has("softcap") ? float32(1 + 2 * draws[1]) : undefined,
    causal: has("causal") ? "bottom-right" : has("causalTopLeft") ? "top-left" : undefined,
    window: has("window") ? windowOf(problem) : undefined,
    alibiSlopes: has("alibiSlopes")
      ? storedAs(Float64Array.from({ length: queryHeads }, () => 0.05 + 0.4 * random()), "f32")
      : undefined,
    bias: has("bias") ? biasOf(problem, storage) : undefined,
    mask: has("mask") ? maskOf(problem) : undefined,
    keyLengths: has("keyLengths") ? keyLengthsOf(problem) : undefined,
    sink: has("sink")
      ? storedAs(normals(seedOf(problem.seed, "sink"), queryHeads), "f32")
      : undefined,
    dLse: has("dLse") ? storedAs(normals(seedOf(problem.seed, "dLse"), rows), "f32") : undefined,
  };
}

function windowOf({ seed, lengthK }: CheckedProblem): { left?: number; right?: number } {
  const random = randomNumbers(seedOf(seed, "window")), sides = integer(random, 1, 3);
  const left = integer(random, 0, lengthK >> 1), right = integer(random, 0, lengthK >> 1);
  return { ...(sides !== 2 && { left }), ...(sides !== 1 && { right }) };
}

/** In full, or the same for all sequences, heads, queries. */
function biasOf(problem: CheckedProblem, storage: StorageName): Broadcast {
  const { seed, batch, queryHeads, lengthQ, lengthK } = problem;
  const forms: Broadcast["shape"][] = [
    [batch, queryHeads, lengthQ, lengthK],
    [1, queryHeads, lengthQ, lengthK],
    [1, 1, lengthQ, lengthK],
    [batch, 1, 1, lengthK],
    [1, queryHeads, 1, lengthK],
  ];
  const shape = forms[integer(randomNumbers(seedOf(seed, "bias form")), 0, forms.length - 1)]!;
  const count = shape.reduce((product, n) => product * n, 1);
  return { values: storedAs(normals(seedOf(seed, "bias"), count), storage), shape };
}

/** Two thirds of the pairs; some rows see nothing. */
function maskOf({ seed, batch, queryHeads, lengthQ, lengthK }: CheckedProblem): Broadcast {
  const random = randomNumbers(seedOf(seed, "mask"));
  const shape: Broadcast["shape"] = random() < 0.5
    ? [batch, 1, lengthQ, lengthK]
    : [1, queryHeads, lengthQ, lengthK];
  const values = new Uint8Array(shape.reduce((product, n) => product * n, 1));
  for (let begin = 0; begin < values.length; begin += lengthK) {
    const share = random() < 0.1 ? 0 : 0.66;
    for (let j = 0; j < lengthK; j++) values[begin + j] = random() < share ? 1 : 0;
  }
  return { values, shape };
}

function keyLengthsOf({ seed, batch, lengthK }: CheckedProblem): Int32Array {
  const random = randomNumbers(seedOf(seed, "keyLengths"));
  return Int32Array.from({ length: batch }, () => random() < 0.1 ? 0 : integer(random, 1, lengthK));
}

/** The axes [batch, head, row, dim] in the order of a layout. */
export function inLayout<T>(axes: readonly [T, T, T, T], layout: Layout): [T, T, T, T] {
  const [batch, head, row, dim] = axes;
  return layout === "bshd" ? [batch, row, head, dim] : [batch, head, row, dim];
}

/** Values of [batch, head, row, dim] in the order of a layout; `back`: the other way round. */
export function reordered(
  values: Float64Array,
  [batch, heads, rows, dim]: readonly [number, number, number, number],
  layout: Layout,
  back = false,
): Float64Array {
  if (layout === "bhsd") return values;
  const result = new Float64Array(values.length);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let row = 0; row < rows; row++) {
        const canonical = ((b * heads + h) * rows + row) * dim;
        const inOrder = ((b * rows + row) * heads + h) * dim;
        const [from, to] = back ? [inOrder, canonical] : [canonical, inOrder];
        result.set(values.subarray(from, from + dim), to);
      }
    }
  }
  return result;
}

/** What a call is given, in arrays of its own. */
export interface CheckedCall {
  readonly q: CheckedTensor;
  readonly k: CheckedTensor;
  readonly v: CheckedTensor;
  readonly dOut: CheckedTensor;
  readonly options: CheckedCallOptions;
  readonly backwardOptions: CheckedBackwardOptions;
}

/** The arguments of a call, made anew. */
export function callOf(formula: Formula, layout: Layout, hasScale: boolean): CheckedCall {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = formula;
  const operand = (values: Float64Array, heads: number, rows: number, dim: number) => {
    const sizes = [batch, heads, rows, dim] as const;
    const data = Float32Array.from(reordered(values, sizes, layout));
    return { data, shape: inLayout(sizes, layout) };
  };
  const tensor = (values: Float64Array | Uint8Array, shape: readonly number[]) => ({
    data: Float32Array.from(values),
    shape: [...shape],
  });
  const { softcap, causal, window, alibiSlopes, bias, mask, keyLengths, sink, dLse } = formula;
  const options: CheckedCallOptions = {
    layout,
    ...(hasScale && { softmaxScale: formula.scale }),
    ...(softcap !== undefined && { softcap }),
    ...(causal && { causal: causal === "top-left" ? causal : true }),
    ...(window && { window: { ...window } }),
    ...(alibiSlopes && { alibiSlopes: tensor(alibiSlopes, [queryHeads]) }),
    ...(bias && { bias: tensor(bias.values, bias.shape) }),
    ...(mask && { mask: { data: Uint8Array.from(mask.values), shape: [...mask.shape] } }),
    ...(keyLengths && { keyLengths: Int32Array.from(keyLengths) }),
    ...(sink && { sink: tensor(sink, [queryHeads]) }),
  };
  return {
    q: operand(formula.q, queryHeads, lengthQ, headDim),
    k: operand(formula.k, kvHeads, lengthK, headDim),
    v: operand(formula.v, kvHeads, lengthK, valueDim),
    dOut: operand(formula.dOut, queryHeads, lengthQ, valueDim),
    options,
    backwardOptions: {
      ...options,
      ...(dLse && { dLse: tensor(dLse, [batch, queryHeads, lengthQ]) }),
    },
  };
}
