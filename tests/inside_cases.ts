/** Looking inside attention: cases, what they must give, and calling the library for them. */

import type { AnyTensor, Engine, IndexRange, ScoreStage } from "../mod.ts";
import { type Case, defineCase } from "./case.ts";
import type { Inputs } from "./inputs.ts";
import { problemOf } from "./oracle.ts";
import { attentionF32 } from "./reference/attention_f32.ts";
import { attentionF64, type ForwardF64 } from "./reference/attention_f64.ts";
import type { Problem, ReferenceOptions, TestTensor } from "./reference/problem.ts";
import { everything } from "./selection.ts";
import {
  columnSums,
  errorBound,
  type Expected,
  forwardRule,
  gradientRule,
  insideFloors,
} from "./tolerance.ts";

export const stages: readonly ScoreStage[] = ["raw", "softcapped", "masked", "probabilities"];

const grouped: Partial<Case> = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 21, lengthK: 43 };

/** Cases whose kernels a GPU makes too: few texts. */
export const shared: readonly Case[] = [
  defineCase(grouped),
  defineCase({ ...grouped, causal: true, window: { left: 9 }, keyLengths: [43, 17] }),
  defineCase({ ...grouped, ...everything, sink: true, causal: true, biasHoles: true }),
  defineCase({ ...grouped, scoreMod: "sine", maskMod: "heads", keyLengths: [43, 30] }),
  defineCase({ ...grouped, rotary: { positions: "each" }, keyLengths: [43, 17] }),
];

/** Each option alone, shapes, storage. */
export const others: readonly Case[] = [
  ...[
    { softcap: 2, amplitude: 3 },
    { softmaxScale: 0.3 },
    { alibiSlopes: "h" as const },
    { bias: "bhqk", biasHoles: true },
    { bias: "11k" },
    { mask: { axes: "b1qk", pattern: "random" as const } },
    { mask: { axes: "qk", pattern: "blocks" as const }, batch: 1, lengthQ: 70, lengthK: 150 },
    { mask: { axes: "1hqk", pattern: "empty rows" as const } },
    { mask: { axes: "qk", pattern: "nothing" as const } },
    { keyLengths: [43, 0] },
    { causal: "top-left" as const },
    { causal: { offset: [-30, 7] } },
    { window: { left: 3, right: 2 } },
    { sink: true },
    { layout: "bhsd" as const, causal: true as const },
    { rotary: {}, keyLengths: [43, 17], causal: true as const },
    { rotary: { interleaved: true, dims: 6, keys: false }, dtype: "f16" as const },
    { dtype: "bf16" as const },
    { arrangement: "padded rows" as const, causal: true as const },
    { arrangement: "transposed" as const },
    { scoreMod: "relative" as const, maskMod: "documents" as const, keyLengths: [43, 19] },
    { scoreMod: "buckets" as const, maskMod: "prefix" as const, lengthQ: 70, lengthK: 150 },
    { scoreMod: "softcap" as const, softcap: 2, causal: true as const },
    ...([
      { made: "blocks", size: [8, 16], mask: "prefix" },
      { made: "lists", size: [8, 16] },
    ] as const).map((blockMask) => ({ blockMask, lengthQ: 70, lengthK: 150 })),
    {
      ...{ maskMod: "strided" as const, batch: 1, lengthQ: 70, lengthK: 150 },
      mask: { axes: "qk", pattern: "blocks" as const },
    },
  ].map((fields) => defineCase({ ...grouped, ...fields })),
  defineCase({ queryHeads: 8, kvHeads: 2, lengthQ: 1, lengthK: 500, headDim: 40 }),
  defineCase({ lengthQ: 3, lengthK: 5, headDim: 3, causal: true }),
  defineCase({ lengthQ: 40, lengthK: 1, headDim: 1 }),
  defineCase({ lengthQ: 60, lengthK: 900, headDim: 64, causal: true }),
  defineCase({ lengthQ: 2048, lengthK: 3, headDim: 1024 }), // regions of rows
];

/** What a call must give; scores by stage. */
export interface ExpectedInside {
  readonly problem: Problem;
  readonly forward: ForwardF64;
  /** lse as float32 has it, which the calls are given. */
  readonly lse: TestTensor;
  readonly scores: Readonly<Record<ScoreStage, Expected>>;
  readonly sums: Expected;
}

/** Rotary positions, which do not move where a stage shows no key lengths. */
function rotaryAt({ options, lengthQ, lengthK, batch }: Problem): ReferenceOptions["rotary"] {
  const { rotary, keyLengths } = options;
  if (!rotary || rotary.positionsQ || !keyLengths) return rotary;
  const last = (n: number) => keyLengths[Math.floor(n / lengthQ)] ?? lengthK;
  const place = (_: unknown, n: number) => n % lengthQ + last(n) - lengthQ;
  return { ...rotary, positionsQ: Int32Array.from({ length: batch * lengthQ }, place) };
}

/** The options that a stage shows. */
function optionsAt(problem: Problem, stage: ScoreStage): ReferenceOptions {
  const { options } = problem, { layout, softmaxScale, softcap } = options;
  if (stage === "masked" || stage === "probabilities") return options as ReferenceOptions;
  const rotary = rotaryAt(problem);
  return {
    ...(rotary ? { rotary } : {}),
    ...(layout ? { layout } : {}),
    ...(softmaxScale === undefined ? {} : { softmaxScale }),
    ...(softcap === undefined || stage === "raw" ? {} : { softcap }),
  };
}

/** Wanted results. */
export function expectInside(inputs: Inputs): ExpectedInside {
  const dtype = "f32" as const, problem = problemOf(inputs), forward = attentionF64(problem);
  const { batch, queryHeads, lengthQ } = problem;
  const plain = attentionF32(problem), floors = insideFloors(problem, forward);
  const bound = (
    values: Float64Array,
    plain: Float32Array,
    floor: number,
    rule = gradientRule,
  ): Expected => ({ values, dtype, bound: errorBound(rule, plain, values, floor) });
  // the plain formula too makes weights from the stored lse
  const weights = plain.scores.map((s, n) =>
    plain.visible[n] ? Math.exp(Math.fround(s - forward.lse[Math.floor(n / problem.lengthK)]!)) : 0
  );
  const scoresAt = (stage: ScoreStage) => {
    const at = problemOf({ ...inputs, options: optionsAt(problem, stage) });
    const exact = attentionF64(at), { scores } = attentionF32(at);
    const { scores: values, visible } = exact;
    const expected = bound(values, scores, insideFloors(at, exact).scores, forwardRule);
    return { ...expected, values: values.map((s, n) => visible[n] ? s : -Infinity) };
  };
  return {
    problem,
    forward,
    lse: { data: Float32Array.from(forward.lse), shape: [batch, queryHeads, lengthQ] },
    scores: {
      raw: scoresAt("raw"),
      softcapped: scoresAt("softcapped"),
      masked: scoresAt("masked"),
      probabilities: bound(forward.probabilities, weights, floors.probabilities),
    },
    sums: bound(
      columnSums(problem, forward),
      Float32Array.from(columnSums(problem, { probabilities: weights })),
      floors.columnSums,
    ),
  };
}

/** The rectangle of a matrix [.., rows, keys]. */
export function rectangle(
  values: Float64Array,
  { lengthQ, lengthK }: Problem,
  rows: IndexRange,
  keys: IndexRange,
): Float64Array {
  const found: number[] = [];
  for (let head = 0; head < values.length / Math.max(1, lengthQ * lengthK); head++) {
    for (let i = rows[0]; i < rows[1]; i++) {
      const at = (head * lengthQ + i) * lengthK;
      found.push(...values.subarray(at + keys[0], at + keys[1]));
    }
  }
  return Float64Array.from(found);
}

/** A place for tensors of a call: where they are, or the memory of an engine. */
export function placer(
  engine: Engine,
  resident: boolean,
): (tensor: TestTensor) => TestTensor {
  return (tensor) =>
    resident ? engine.tensor(tensor, tensor.dtype) as unknown as TestTensor : tensor;
}

/** The values of a result wherever it is. */
export async function valuesOf(tensor: AnyTensor): Promise<Float64Array> {
  const values = "read" in tensor ? await tensor.read() : tensor.data;
  return Float64Array.from(values as Float32Array);
}
