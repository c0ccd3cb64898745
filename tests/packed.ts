/**
 * Packed calls for tests: sequences that are cases of their own, each with its own oracle, laid one behind the other.
 */

import { type Case, defineCase } from "./case.ts";
import { type Inputs, makeInputs, plainTensor } from "./inputs.ts";
import { expectBoth } from "./oracle.ts";
import type { ReferenceOptions, TestTensor } from "./reference/problem.ts";
import type { Expected } from "./tolerance.ts";

/** [lengthQ, lengthK] of each sequence; a side that is not packed has one length. */
export type Lengths = readonly (readonly [lengthQ: number, lengthK: number])[];

/** A packed call. */
export interface PackedCase {
  readonly name: string;
  readonly lengths: Lengths;
  readonly queries: boolean;
  readonly keys: boolean;
  /** What every sequence has. */
  readonly fields: Partial<Case>;
  /** Of `keyLengths`: rows in use, by sequence. */
  readonly used?: readonly number[];
  /** Rows behind the last sequence. */
  readonly behind?: number;
}

/** Joins the results or inputs of sequences, `[1, rows, heads, dim]` each. */
function joinRows(tensors: readonly TestTensor[], packed: boolean, behind = 0): TestTensor {
  const { shape: [, rows, heads, dim], dtype, data: { constructor } } = tensors[0]!;
  const all = tensors.reduce((sum, { data }) => sum + data.length, behind * heads! * dim!);
  const data = new (constructor as Float32ArrayConstructor)(all);
  let at = 0;
  for (const one of tensors) {
    data.set(one.data as Float32Array, at);
    at += one.data.length;
  }
  const shape = packed
    ? [all / Math.max(1, heads! * dim!), heads!, dim!]
    : [tensors.length, rows!, heads!, dim!];
  return { data, shape, ...(dtype ? { dtype } : {}) };
}

/** Joins rows of lse, `[1, heads, rows]` each. */
function joinLse(tensors: readonly TestTensor[], packed: boolean, behind = 0): TestTensor {
  const heads = tensors[0]!.shape[1]!;
  if (!packed) {
    const data = Float32Array.from(tensors.flatMap(({ data }) => [...data as Float32Array]));
    return { data, shape: [tensors.length, ...tensors[0]!.shape.slice(1)] };
  }
  const rows = tensors.reduce((sum, { shape }) => sum + shape[2]!, behind);
  const data = new Float32Array(heads * rows);
  for (let head = 0; head < heads; head++) {
    let at = head * rows;
    for (const { data: one, shape: [, , n] } of tensors) {
      data.set((one as Float32Array).subarray(head * n!, (head + 1) * n!), at);
      at += n!;
    }
  }
  return { data, shape: [heads, rows] };
}

/** First rows, and the row behind the last. */
export function startsOf(lengths: readonly number[]): number[] {
  return lengths.reduce((starts, n) => [...starts, starts.at(-1)! + n], [0]);
}

/** Rotary positions of all sequences, one behind the other. */
function joinPositions(sequences: readonly Inputs[]): ReferenceOptions["rotary"] {
  const all = (name: "positionsQ" | "positionsK") =>
    Int32Array.from(sequences.flatMap(({ options }) => [...options.rotary![name]!]));
  const { positionsQ: _1, positionsK: _2, ...rest } = sequences[0]!.options.rotary!;
  return { ...rest, positionsQ: all("positionsQ"), positionsK: all("positionsK") };
}

/** A packed call with the inputs of its sequences. */
export interface PackedInputs {
  readonly inputs: Pick<Inputs, "q" | "k" | "v" | "dOut" | "dLse" | "dEntropy" | "options">;
  readonly sequences: readonly Inputs[];
}

/** Makes the inputs of a packed call and of each of its sequences. */
export function packedInputs(c: PackedCase): PackedInputs {
  const { lengths, fields, queries, keys, used, behind } = c;
  const heads = fields.queryHeads ?? 1;
  const sink = fields.sink ? plainTensor(77, [heads], 2) : undefined;
  const sequences = lengths.map(([lengthQ, lengthK], n): Inputs => {
    const keyLengths = used ? { keyLengths: [used[n]!] } : {};
    const one = makeInputs(defineCase({ ...fields, ...keyLengths, lengthQ, lengthK }));
    return sink ? { ...one, options: { ...one.options, sink } } : one;
  });
  const of = (name: "q" | "k" | "v" | "dOut") => sequences.map((one) => one[name]);
  const slopes = sequences.map(({ options }) => options.alibiSlopes);
  const { layout: _1, keyLengths: _2, alibiSlopes: _3, ...shared } = sequences[0]!.options;
  const options = {
    ...shared,
    ...(fields.alibiSlopes
      ? {
        alibiSlopes: {
          data: Float32Array.from(slopes.flatMap((one) => [...one!.data as Float32Array])),
          shape: [lengths.length, heads],
        },
      }
      : {}),
    ...(fields.rotary?.positions ? { rotary: joinPositions(sequences) } : {}),
    ...(used ? { keyLengths: Int32Array.from(used) } : {}),
    ...(queries ? { cuSeqlensQ: startsOf(lengths.map(([q]) => q)) } : {}),
    ...(keys ? { cuSeqlensK: Int32Array.from(startsOf(lengths.map(([, k]) => k))) } : {}),
  } as ReferenceOptions;
  const dLse = sequences.map((one) => one.dLse!), dEntropy = sequences.map((one) => one.dEntropy!);
  return {
    sequences,
    inputs: {
      q: joinRows(of("q"), queries, behind),
      k: joinRows(of("k"), keys, behind),
      v: joinRows(of("v"), keys, behind),
      dOut: joinRows(of("dOut"), queries, behind),
      dLse: fields.dLse ? joinLse(dLse, queries, behind) : undefined,
      dEntropy: fields.dEntropy ? joinLse(dEntropy, queries, behind) : undefined,
      options,
    },
  };
}

/** What a result of a packed call must hold, for each sequence: its rows in the order of the oracle, or a sum. */
export interface PackedExpected {
  readonly name: string;
  readonly expected: Expected;
  /** Of a sequence, or of all of them. */
  readonly sequence?: number;
}

/** Adds up what sequences give to a gradient of all heads. */
function addExpected(all: readonly Expected[]): Expected {
  const values = all[0]!.values.map((_, n) => all.reduce((sum, one) => sum + one.values[n]!, 0));
  return { values, bound: all.reduce((sum, { bound }) => sum + bound, 0), dtype: all[0]!.dtype };
}

/** Wanted results of both passes. */
export function expectPacked({ sequences }: PackedInputs): PackedExpected[] {
  const results = sequences.map(expectBoth);
  const ofSequences = results.flatMap((one, sequence) =>
    Object.entries(one).filter(([name]) => name !== "dSink")
      .map(([name, expected]) => ({ name, expected: expected!, sequence }))
  );
  if (!sequences[0]!.options.sink) return ofSequences;
  const expected = addExpected(results.map((one) => (one as Record<string, Expected>).dSink!));
  return [...ofSequences, { name: "dSink", expected }];
}
