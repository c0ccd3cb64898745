/** The operators of LiteRT that the keyword transformer has, in plain code: sums in float64, results in float32. */

import type { Operator } from "./tflite.ts";

/** Values with their shape. */
export interface Values {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

type Run = (
  inputs: readonly Values[],
  shape: readonly number[],
  operator: Operator,
) => ArrayLike<number>;

/** Their numbers in the schema. */
export enum Code {
  Add = 0,
  Concatenation = 2,
  FullyConnected = 9,
  Multiply = 18,
  Reshape = 22,
  Softmax = 25,
  Tanh = 28,
  Gather = 36,
  Transpose = 39,
  Mean = 40,
  Subtract = 41,
  StridedSlice = 45,
  Maximum = 55,
  Log = 73,
  Sqrt = 75,
  Rsqrt = 76,
  Power = 78,
  SquaredDifference = 99,
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Elements from one index of an axis to the next. */
function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
}

const walks = new Map<string, Int32Array>();

/** The element that belongs to each element of a shape, by strides; `begin` belongs to the first. Layers are alike. */
function walk(shape: readonly number[], strides: readonly number[], begin = 0): Int32Array {
  const key = `${shape}|${strides}|${begin}`, known = walks.get(key);
  if (known) return known;
  let places = Int32Array.of(begin);
  shape.forEach((size, axis) => {
    const before = places;
    places = new Int32Array(before.length * size)
      .map((_, n) => before[Math.floor(n / size)]! + n % size * strides[axis]!);
  });
  walks.set(key, places);
  return places;
}

/** Strides of a tensor that is broadcast to a rank: an axis of size 1 stays where it is. */
function broadcast({ shape }: Values, rank: number): number[] {
  const whole = [...Array<number>(rank - shape.length).fill(1), ...shape];
  return stridesOf(whole).map((stride, axis) => whole[axis] === 1 ? 0 : stride);
}

function pairs(f: (x: number, y: number) => number): Run {
  return ([a, b], shape) => {
    const atA = walk(shape, broadcast(a!, shape.length));
    const atB = walk(shape, broadcast(b!, shape.length));
    return new Float32Array(atA.length).map((_, n) => f(a!.data[atA[n]!]!, b!.data[atB[n]!]!));
  };
}

function each(f: (x: number) => number): Run {
  return ([x]) => new Float32Array(x!.data).map(f);
}

/** Rows times the rows of the weights, plus the bias; option 0 is the activation, 1 = max(0, x). */
const fullyConnected: Run = ([x, weights, bias], _, operator) => {
  const [columns, width] = weights!.shape as [number, number], rows = x!.data.length / width;
  const relu = operator.option(0) === 1;
  return new Float32Array(rows * columns).map((_, n) => {
    const row = Math.floor(n / columns) * width, column = n % columns;
    let sum = bias?.data[column] ?? 0;
    for (let e = 0; e < width; e++) sum += x!.data[row + e]! * weights!.data[column * width + e]!;
    return relu ? Math.max(0, sum) : sum;
  });
};

const softmax: Run = ([x]) => {
  const width = x!.shape.at(-1)!, result = new Float32Array(x!.data.length);
  for (let row = 0; row < result.length; row += width) {
    const scores = x!.data.subarray(row, row + width), largest = Math.max(...scores);
    const weights = Array.from(scores, (score) => Math.exp(score - largest));
    const sum = weights.reduce((a, b) => a + b);
    result.set(weights.map((weight) => weight / sum), row);
  }
  return result;
};

const transpose: Run = ([x, order], shape) => {
  const strides = stridesOf(x!.shape);
  const places = walk(shape, Array.from(order!.data, (axis) => strides[axis]!));
  return new Float32Array(places.length).map((_, n) => x!.data[places[n]!]!);
};

const mean: Run = ([x, axes], shape) => {
  const summed = Array.from(axes!.data, (axis) => (axis + x!.shape.length) % x!.shape.length);
  const kept = x!.shape.map((size, axis) => summed.includes(axis) ? 1 : size);
  const places = walk(x!.shape, broadcast({ data: x!.data, shape: kept }, kept.length));
  const sums = new Float64Array(sizeOf(shape)), count = x!.data.length / sums.length;
  places.forEach((at, n) => sums[at]! += x!.data[n]!);
  return sums.map((sum) => sum / count);
};

/** Rows of an axis (option 0) by their numbers. */
const gather: Run = ([x, numbers], _, operator) => {
  const axis = operator.option(0), inner = sizeOf(x!.shape.slice(axis + 1));
  const outer = sizeOf(x!.shape.slice(0, axis)), length = x!.shape[axis]!;
  const rows = Array.from(
    { length: outer },
    (_, o) => [...numbers!.data].map((n) => o * length + n),
  );
  return rows.flat().flatMap((row) => [...x!.data.subarray(row * inner, (row + 1) * inner)]);
};

/** One behind the other along an axis (option 0). */
const concatenation: Run = (inputs, shape, operator) => {
  const axis = operator.option(0), outer = sizeOf(shape.slice(0, axis));
  return Array.from({ length: outer }, (_, o) =>
    inputs.flatMap(({ data, shape }) => {
      const width = sizeOf(shape.slice(axis));
      return [...data.subarray(o * width, (o + 1) * width)];
    })).flat();
};

/** Options 0, 1 and 4 are masks: axes that have no begin, no end, and axes that are left out, of which one index stays. */
const stridedSlice: Run = ([x, begins, , steps], _, operator) => {
  const strides = stridesOf(x!.shape);
  const begin = x!.shape.map((size, axis) => {
    if (operator.option(0) >> axis & 1 || axis >= begins!.data.length) return 0;
    return (begins!.data[axis]! + size) % size;
  });
  const first = begin.reduce((sum, n, axis) => sum + n * strides[axis]!, 0);
  const ends = operator.option(4);
  const counts = x!.shape.map((size, axis) => ends >> axis & 1 ? 1 : size - begin[axis]!);
  const places = walk(
    counts,
    strides.map((stride, axis) => stride * (steps!.data[axis] ?? 1)),
    first,
  );
  return new Float32Array(places.length).map((_, n) => x!.data[places[n]!]!);
};

const RUN: Readonly<Record<number, Run>> = {
  [Code.Add]: pairs((x, y) => x + y),
  [Code.Multiply]: pairs((x, y) => x * y),
  [Code.Subtract]: pairs((x, y) => x - y),
  [Code.Maximum]: pairs(Math.max),
  [Code.Power]: pairs(Math.pow),
  [Code.SquaredDifference]: pairs((x, y) => (x - y) ** 2),
  [Code.Sqrt]: each(Math.sqrt),
  [Code.Rsqrt]: each((x) => 1 / Math.sqrt(x)),
  [Code.Log]: each(Math.log),
  [Code.Tanh]: each(Math.tanh),
  [Code.Reshape]: ([x]) => x!.data,
  [Code.FullyConnected]: fullyConnected,
  [Code.Softmax]: softmax,
  [Code.Transpose]: transpose,
  [Code.Mean]: mean,
  [Code.Gather]: gather,
  [Code.Concatenation]: concatenation,
  [Code.StridedSlice]: stridedSlice,
};

/** Runs an operator: its result has the shape that the graph says. */
export function runOperator(
  operator: Operator,
  inputs: readonly Values[],
  shape: readonly number[],
): Values {
  const run = RUN[operator.code];
  if (!run) throw new Error(`operator ${operator.code} is not here`);
  const data = new Float32Array(run(inputs, shape, operator));
  if (data.length !== sizeOf(shape)) {
    throw new Error(`operator ${operator.code} gave ${data.length} values for shape [${shape}]`);
  }
  return { data, shape };
}
