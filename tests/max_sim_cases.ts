/** Late interaction: cases, their tensors, what they must give, and calling the library for them. */

import type { AnyTensor, Engine, HostTensor, IntegerTensor } from "../mod.ts";
import { decode, encode, type StorageType } from "./half.ts";
import { normalNumbers, randomNumbers, seedOf } from "./random.ts";
import {
  type DocumentProblem,
  maxSim,
  maxSimGradients,
  type MaxSimResults,
} from "./reference/max_sim.ts";
import { errorBound, type Expected, forwardRule, gradientRule } from "./tolerance.ts";

/** Plain data with a printable name, which is also the seed. */
export interface MaxSimCase {
  /** 0: queries have no axis of sets. */
  readonly sets: number;
  readonly tokens: number;
  readonly dim: number;
  /** Rows of each document. */
  readonly lengths: readonly number[];
  /** Rows behind the last document. */
  readonly behind?: number;
  readonly dtype?: StorageType;
  /** Small integers, whose products and sums are exact in float32: many are equal. */
  readonly integers?: boolean;
}

export function nameOf(c: MaxSimCase): string {
  const { sets, tokens, dim, lengths, behind = 0, dtype = "f32", integers } = c;
  const documents = lengths.length > 8
    ? `${lengths.length} documents of ${lengths.reduce((a, b) => a + b, 0)} rows`
    : `documents ${lengths}`;
  return `s${sets} q${tokens} d${dim} ${documents}${behind ? ` behind ${behind}` : ""} ${dtype}${
    integers ? " integers" : ""
  }`;
}

/** Tensors of a case. */
export interface MaxSimInputs {
  readonly c: MaxSimCase;
  readonly problem: DocumentProblem;
  readonly queries: HostTensor;
  readonly documents: HostTensor;
  readonly dScores: HostTensor<Float32Array<ArrayBuffer>>;
  readonly cuSeqlens: Int32Array<ArrayBuffer>;
}

/** Normal numbers, or small integers. */
function numbers(seed: number, count: number, integers: boolean): Float64Array {
  if (!integers) return normalNumbers(seed, count);
  const random = randomNumbers(seed);
  return new Float64Array(count).map(() => Math.floor(random() * 5) - 2);
}

export function makeInputs(c: MaxSimCase): MaxSimInputs {
  const { tokens, dim, lengths, behind = 0, dtype = "f32", integers = false } = c;
  const seed = seedOf(nameOf(c)), sets = Math.max(1, c.sets);
  const starts = lengths.reduce((all, n) => [...all, all.at(-1)! + n], [0]);
  const rowCount = starts.at(-1)! + behind, axis = c.sets === 0 ? [] : [sets];
  const tensor = (values: Float64Array, shape: number[]) => {
    const data = encode(values, dtype);
    return { data, shape, ...(dtype === "f32" ? {} : { dtype }) } as HostTensor;
  };
  const queries = tensor(numbers(seed + 1, sets * tokens * dim, integers), [...axis, tokens, dim]);
  const documents = tensor(numbers(seed + 2, rowCount * dim, integers), [rowCount, dim]);
  const values = ({ data }: HostTensor) => decode(data as Float32Array, dtype);
  return {
    c,
    problem: { sets, tokens, dim, starts, queries: values(queries), rows: values(documents) },
    queries,
    documents,
    dScores: {
      data: Float32Array.from(numbers(seed + 3, sets * lengths.length, integers)),
      shape: [...axis, lengths.length],
    },
    cuSeqlens: Int32Array.from(starts),
  };
}

/** What a case must give. */
export interface ExpectedMaxSim {
  readonly results: MaxSimResults;
  readonly scores: Expected;
  /** By how much the product of a row may be below the largest and still be chosen. */
  readonly near: number;
}

function normsOf(values: Float64Array, dim: number): number {
  let most = 0;
  for (let at = 0; at < values.length; at += dim) {
    most = Math.max(most, Math.hypot(...values.subarray(at, at + dim)));
  }
  return most;
}

const found = new WeakMap<MaxSimInputs, ExpectedMaxSim>();

/** Once for all ways to call. */
export function expectMaxSim(inputs: MaxSimInputs): ExpectedMaxSim {
  let expected = found.get(inputs);
  if (!expected) found.set(inputs, expected = computeMaxSim(inputs));
  return expected;
}

function computeMaxSim({ c, problem }: MaxSimInputs): ExpectedMaxSim {
  const results = maxSim(problem), { queries, rows, dim, tokens } = problem;
  const plain = Float32Array.from(maxSim(problem, Math.fround).scores);
  const finite = (x: ArrayLike<number>) => Float64Array.from(x).filter(Number.isFinite);
  const product = 2 ** -24 * normsOf(queries, dim) * normsOf(rows, dim);
  const bound = c.integers ? 0 : errorBound(
    forwardRule,
    Float32Array.from(finite(plain)),
    finite(results.scores),
    product * Math.sqrt(tokens),
  );
  const near = c.integers ? 0 : 4 * product * Math.sqrt(dim);
  return { results, scores: { values: results.scores, bound, dtype: "f32" }, near };
}

type ExpectedGradients = Readonly<Record<"dQueries" | "dDocuments", Expected>>;
const foundGradients = new WeakMap<MaxSimInputs, { keys: Int32Array; of: ExpectedGradients }>();

/** What the gradients of a case must be, with the rows that were chosen: most ways to call choose the same. */
export function expectGradients(inputs: MaxSimInputs, keys: Int32Array): ExpectedGradients {
  const last = foundGradients.get(inputs);
  if (last?.keys.every((key, n) => key === keys[n])) return last.of;
  const of = computeGradients(inputs, keys);
  foundGradients.set(inputs, { keys, of });
  return of;
}

function computeGradients(
  { c, problem, dScores }: MaxSimInputs,
  keys: Int32Array,
): ExpectedGradients {
  const ds = Float64Array.from(dScores.data), exact = maxSimGradients(problem, keys, ds);
  const plain = maxSimGradients(problem, keys, ds, Math.fround), dtype = c.dtype ?? "f32";
  const largest = (x: Float64Array) => x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const expected = (of: "dQueries" | "dRows", other: Float64Array) => {
    const floor = 2 ** -24 * largest(ds) * largest(other);
    const bound = c.integers
      ? 0
      : errorBound(gradientRule, Float32Array.from(plain[of]), exact[of], floor);
    return { values: exact[of], bound, dtype };
  };
  return {
    dQueries: expected("dQueries", problem.rows),
    dDocuments: expected("dRows", problem.queries),
  };
}

/** The values of a result wherever it is; 16-bit ones as numbers. */
export async function valuesOf(tensor: AnyTensor | IntegerTensor): Promise<Float64Array> {
  if ("read" in tensor) return Float64Array.from(await tensor.read("f32"));
  const { data, dtype = "f32" } = tensor;
  if (data instanceof Int32Array) return Float64Array.from(data);
  return decode(data as Float32Array, dtype as StorageType);
}

/** Where the tensors of a call are: all of them in the engine, none, or one of the two. */
export type Place = "host" | "resident" | "resident documents" | "resident queries";

/** The tensors of a case, where they are wanted; `dispose` frees those that were made. */
export function placed(
  engine: Engine,
  { queries, documents }: MaxSimInputs,
  place: Place,
): { queries: AnyTensor; documents: AnyTensor; dispose(): void } {
  const made: { dispose(): void }[] = [];
  const bring = (tensor: HostTensor, wanted: boolean): AnyTensor => {
    if (!wanted) return tensor;
    const resident = engine.tensor(tensor, tensor.dtype);
    made.push(resident);
    return resident;
  };
  return {
    queries: bring(queries, place === "resident" || place === "resident queries"),
    documents: bring(documents, place === "resident" || place === "resident documents"),
    dispose: () => made.forEach((tensor) => tensor.dispose()),
  };
}
