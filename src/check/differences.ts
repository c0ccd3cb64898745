// Gradients beside finite differences of the checked forward function itself: whether the two fit together, whatever they
// compute. Along a direction u, with L = Σ dOut·out + Σ dLse·lse, L(x + u) − L(x − u) is gradient·2u, but for terms of
// third order, which a second step of half the size removes (Richardson).
import type { CheckedForward, CheckedForwardResult } from "./given.ts";
import type { Formula } from "./formula.ts";
import { type GradientName, largestOf } from "./gradients.ts";
import { callOf, storedAs } from "./inputs.ts";
import { normals, seedOf } from "../tensor/random.ts";
import { readResult, type Wanted } from "./results.ts";
import type { Settings } from "./settings.ts";

/** A gradient beside finite differences, along the direction where they differ most. */
export interface Differences {
  /** Whether they agree. */
  readonly agrees: boolean;
  /** By how much the loss should change along the direction, by the gradient that was returned. */
  readonly byGradient: number;
  /** By how much it does, by the forward function. */
  readonly byForward: number;
  /** The difference that is allowed. */
  readonly allowed: number;
}

/** Deviation of the numbers of a direction. */
const STEP = 0.03;
/** Share of the change that may come of the step. */
const SHARE = 0.02;

/** What is needed beside the problem. */
export interface ForwardOf<F extends CheckedForwardResult> {
  readonly forward: CheckedForward<F>;
  readonly formula: Formula;
  readonly settings: Settings;
  readonly hasScale: boolean;
  readonly seed: number;
  /** What out and lse must be. */
  readonly results: readonly Wanted[];
}

const OPERANDS: Readonly<Record<GradientName, keyof Formula>> = {
  dq: "q",
  dk: "k",
  dv: "v",
  dBias: "bias",
  dAlibiSlopes: "alibiSlopes",
  dSink: "sink",
};

function operandOf(formula: Formula, name: GradientName): Float64Array {
  const operand = formula[OPERANDS[name]] as Float64Array | { values: Float64Array };
  return "values" in operand && !ArrayBuffer.isView(operand)
    ? operand.values
    : operand as Float64Array;
}

function withOperand(formula: Formula, name: GradientName, values: Float64Array): Formula {
  const operand = OPERANDS[name];
  const changed = operand === "bias" ? { ...formula.bias!, values } : values;
  return { ...formula, [operand]: changed };
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, n) => sum + x * b[n]!, 0);
}

/** The loss as the forward function computes it; NaN where it returns what cannot be read. */
async function lossOf<F extends CheckedForwardResult>(
  { forward, settings, hasScale, results }: ForwardOf<F>,
  formula: Formula,
): Promise<number> {
  settings.signal?.throwIfAborted();
  const { q, k, v, dOut, options } = callOf(formula, settings.layout, hasScale);
  const given = await forward(q, k, v, options);
  const [ofOut, ofLse] = results as [Wanted, Wanted];
  const out = await readResult(given?.out, ofOut, formula);
  if (typeof out === "string") return NaN;
  let loss = dot(out, Float64Array.from(dOut.data));
  if (formula.dLse) {
    const lse = await readResult(given.lse, ofLse, formula);
    if (typeof lse === "string") return NaN;
    lse.forEach((value, n) => loss += Number.isFinite(value) ? value * formula.dLse![n]! : 0);
  }
  return loss;
}

/** How far the loss may be off, by the errors that are allowed in out and lse. */
function noiseOf({ results }: Pick<ForwardOf<never>, "results">, formula: Formula): number {
  const size = (values: Float64Array) => Math.sqrt(dot(values, values));
  const [out, lse] = results as [Wanted, Wanted], { dOut, dLse } = formula;
  return (out.allowed * size(dOut) + (dLse ? lse.allowed * size(dLse) : 0)) / 4;
}

/** Compares `gradient`, packed like its operand, with finite differences; undefined where it has no finite values. */
export async function differencesOf<F extends CheckedForwardResult>(
  name: GradientName,
  gradient: Float64Array,
  exact: Float64Array,
  given: ForwardOf<F>,
): Promise<Differences | undefined> {
  if (!gradient.every(Number.isFinite)) return undefined;
  const { formula, settings: { storage }, seed } = given, values = operandOf(formula, name);
  // a slope acts by its distance
  const step = name === "dAlibiSlopes" ? STEP / formula.lengthK : STEP;
  const chance = normals(seedOf(seed, `along ${name}`), values.length, step);
  const root = Math.sqrt(dot(gradient, gradient) / values.length);
  const own = gradient.map((value) => step * value / root);
  const directions = root > 0 && largestOf(own) < 30 * step ? [chance, own] : [chance];
  const noise = 6 * noiseOf(given, formula), size = Math.sqrt(dot(exact, exact)) * 2 * step;
  let worst: Differences | undefined;
  for (const direction of directions) {
    const change = async (length: number) => {
      const [above, below] = [length, -length].map((factor) =>
        storedAs(values.map((value, n) => value + factor * direction[n]!), storage)
      ) as [Float64Array, Float64Array];
      const moved = above.map((value, n) => value - below[n]!);
      const byGradient = dot(gradient, moved);
      const up = await lossOf(given, withOperand(formula, name, above));
      const down = await lossOf(given, withOperand(formula, name, below));
      return { byGradient, excess: (up - down - byGradient) / length };
    };
    const whole = await change(1), half = await change(0.5);
    const excess = (4 * half.excess - whole.excess) / 3, { byGradient } = whole;
    const byForward = byGradient + excess;
    const allowed = noise + SHARE * Math.max(Math.abs(byGradient), Math.abs(byForward), size);
    const found = { agrees: Math.abs(excess) <= allowed, byGradient, byForward, allowed };
    const share = ({ byGradient, byForward, allowed }: Differences) =>
      Math.abs(byGradient - byForward) / allowed;
    if (!worst || !found.agrees && share(found) > share(worst)) worst = found;
  }
  return worst;
}
