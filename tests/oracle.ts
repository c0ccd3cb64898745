/** What a case must give: the float64 results, each with its allowed error. */

import type { StorageType } from "./half.ts";
import type { Inputs } from "./inputs.ts";
import { attentionBackwardF32, attentionF32, type ForwardF32 } from "./reference/attention_f32.ts";
import { attentionBackwardF64, attentionF64, type ForwardF64 } from "./reference/attention_f64.ts";
import {
  describeProblem,
  type Problem,
  readOperand,
  readPacked,
  type TestTensor,
} from "./reference/problem.ts";
import {
  errorBound,
  type Expected,
  forwardFloors,
  forwardRule,
  gradientFloors,
  gradientRule,
  type ProductRounding,
  statisticFloors,
  u16,
} from "./tolerance.ts";

/** Wanted results by name: out, lse; or the gradients. */
export type ExpectedResults = Readonly<Record<string, Expected>>;

/** The format a tensor is stored in. */
export function dtypeOf(tensor: TestTensor): StorageType {
  if (tensor.data instanceof Float16Array) return "f16";
  return tensor.dtype ?? "f32";
}

/** The problem that inputs describe. */
export function problemOf({ q, k, v, options }: Inputs): Problem {
  return describeProblem(q, k, v, options);
}

/** The forward pass of a problem, exact and by the plain formula. */
interface Evaluated {
  readonly problem: Problem;
  readonly exact: ForwardF64;
  readonly plain: ForwardF32;
}

function evaluate(inputs: Inputs): Evaluated {
  const problem = problemOf(inputs);
  return { problem, exact: attentionF64(problem), plain: attentionF32(problem) };
}

/** Wanted out and lse, and the statistics that are asked for. */
export function expectForward(
  inputs: Inputs,
  { problem, exact, plain }: Evaluated = evaluate(inputs),
): Readonly<Record<"out" | "lse", Expected>> & ExpectedResults {
  const floors = forwardFloors(problem, exact);
  const bound = (name: "out" | "lse") =>
    errorBound(forwardRule, plain[name], exact[name], floors[name]);
  return {
    out: { values: exact.out, bound: bound("out"), dtype: dtypeOf(inputs.q) },
    lse: { values: exact.lse, bound: bound("lse"), dtype: "f32" },
    ...expectStatistics(inputs, exact, plain, problem),
  };
}

/** Times what one rounding to f16 of each product makes: its sums with up to 15 others are rounded √(16 / 2) times as much. */
const HALVES = 4;

/** The same of `precision: "f16"`: what float32 is allowed, and what roundings to f16 make. */
export function expectHalves(
  inputs: Inputs,
): Readonly<Record<"out" | "lse", Expected>> & ExpectedResults {
  return halvesOf(inputs, evaluate(inputs));
}

function halvesOf(inputs: Inputs, evaluated: Evaluated): ReturnType<typeof expectForward> {
  const { problem, exact } = evaluated, rounding = { unit: u16 };
  const ofStatistics = statisticFloors(problem, exact, rounding);
  const floors = { ...ofStatistics, ...forwardFloors(problem, exact, rounding) };
  return widened(expectForward(inputs, evaluated), floors, HALVES);
}

/** ... and of both passes. */
export function expectBothHalves(inputs: Inputs): ExpectedResults {
  const evaluated = evaluate(inputs);
  const { expected, floors } = gradientsOf(inputs, evaluated, { unit: u16 });
  return { ...halvesOf(inputs, evaluated), ...widened(expected, floors, HALVES) };
}

/** Times what rounding to integers makes in the mean of a row, whose largest element is to stay within it. */
const INTEGERS = 4;

/** The same of `precision: "int8"` or `"int8-pv"`, and of the statistics that are asked for. */
export function expectIntegers(
  inputs: Inputs,
  integers: NonNullable<ProductRounding["integers"]>,
): Readonly<Record<"out" | "lse", Expected>> & ExpectedResults {
  const evaluated = evaluate(inputs), { problem, exact } = evaluated, rounding = { integers };
  const floors = forwardFloors(problem, exact, rounding);
  const all = { ...statisticFloors(problem, exact, rounding), ...floors };
  return widened(expectForward(inputs, evaluated), all, INTEGERS);
}

/** What float32 is allowed, and so many times the floors of another rounding. */
function widened<R extends ExpectedResults>(
  expected: R,
  floors: Readonly<Record<string, number>>,
  times: number,
): R {
  const wider = Object.entries(expected).map(([name, { bound, ...rest }]) =>
    [name, { ...rest, bound: bound + times * (floors[name] ?? 0) }] as const
  );
  return Object.fromEntries(wider) as unknown as R;
}

function expectStatistics(
  { options: { stats = [] } }: Inputs,
  exact: ForwardF64,
  plain: ForwardF32,
  problem: Problem,
): ExpectedResults {
  if (stats.length === 0) return {};
  const floors = statisticFloors(problem, exact);
  return Object.fromEntries(stats.map((name) => {
    const values = exact.statistics[name];
    const bound = errorBound(forwardRule, plain.statistics[name], values, floors[name]);
    return [name, { values, bound, dtype: "f32" }];
  }));
}

/** The input of each gradient, where the call has it. */
export function gradientInputs(
  { q, k, v, options }: Inputs,
): Record<string, TestTensor | undefined> {
  const { bias, alibiSlopes, sink, scoreMod } = options;
  const learned = scoreMod?.learned && Float32Array.from(scoreMod.learned.values);
  const captured = learned && { data: learned, shape: [learned.length] };
  return {
    ...{ dq: q, dk: k, dv: v, dBias: bias, dAlibiSlopes: alibiSlopes, dSink: sink },
    dCaptured: captured,
  };
}

/** Wanted results of both passes. */
export function expectBoth(inputs: Inputs): ExpectedResults {
  const evaluated = evaluate(inputs);
  return { ...expectForward(inputs, evaluated), ...expectGradients(inputs, evaluated) };
}

function expectGradients(inputs: Inputs, evaluated: Evaluated): ExpectedResults {
  return gradientsOf(inputs, evaluated).expected;
}

/** Wanted gradients, and the floors of another rounding of products. */
function gradientsOf(
  inputs: Inputs,
  { problem, exact: forward, plain: plainForward }: Evaluated,
  rounding?: ProductRounding,
): { expected: ExpectedResults; floors: ReturnType<typeof gradientFloors> } {
  const dOut = readOperand(inputs.dOut, inputs.options.layout ?? "bshd");
  const dLse = inputs.dLse && readPacked(inputs.dLse);
  const dEntropy = inputs.dEntropy && readPacked(inputs.dEntropy);
  const given = [dOut, dLse, dEntropy] as const;
  const exact = attentionBackwardF64(problem, forward, ...given);
  const plain = attentionBackwardF32(problem, plainForward, ...given);
  const about = [problem, forward, exact, dOut, dtypeOf(inputs.q), dEntropy] as const;
  const floors = gradientFloors(...about);
  const expected: Record<string, Expected> = {};
  for (const [name, operand] of Object.entries(gradientInputs(inputs))) {
    const [values, plainValues] = [exact[name as "dq"], plain[name as "dq"]];
    if (!values || !plainValues || !operand) continue;
    expected[name] = {
      values,
      bound: errorBound(gradientRule, plainValues, values, floors[name as "dq"]),
      dtype: dtypeOf(operand),
    };
  }
  return { expected, floors: rounding ? gradientFloors(...about, rounding) : floors };
}
