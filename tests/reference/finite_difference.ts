/** Gradients from the forward oracle alone, by central differences: what the backward oracle is checked against. */

import { attentionF64 } from "./attention_f64.ts";
import type { Problem } from "./problem.ts";

/** dq, dk, dv and, where the options have tensors, theirs. */
export type Gradients = Record<
  "dq" | "dk" | "dv" | "dBias" | "dAlibiSlopes" | "dSink" | "dCaptured",
  Float64Array | undefined
>;

/**
 * Differentiates L = Σ dOut∘out + Σ dLse∘lse + Σ dEntropy∘entropy with respect to every element. Rows that see nothing have lse −∞, a
 * constant, so they are left out of L. The step balances truncation (step²) against cancellation (2⁻⁵³/step).
 */
export function finiteDifferences(
  problem: Problem,
  dOut: Float64Array,
  dLse?: Float64Array,
  dEntropy?: Float64Array,
  step = 1e-5,
): Gradients {
  const loss = () => {
    const { out, lse, statistics: { entropy } } = attentionF64(problem);
    let sum = 0;
    out.forEach((value, n) => sum += dOut[n]! * value);
    if (dLse) lse.forEach((value, n) => sum += value === -Infinity ? 0 : dLse[n]! * value);
    if (dEntropy) entropy.forEach((value, n) => sum += dEntropy[n]! * value);
    return sum;
  };
  const gradient = (operand: Float64Array) =>
    operand.map((value, n) => {
      if (!Number.isFinite(value)) return 0; // −∞ in a bias hides the position
      operand[n] = value + step;
      const above = loss();
      operand[n] = value - step;
      const below = loss();
      operand[n] = value;
      return (above - below) / (2 * step);
    });
  const ofOption = (values: Float64Array | Uint8Array | undefined) =>
    values instanceof Float64Array ? gradient(values) : undefined;
  return {
    dq: gradient(problem.q),
    dk: gradient(problem.k),
    dv: gradient(problem.v),
    dBias: ofOption(problem.bias?.values),
    dAlibiSlopes: ofOption(problem.alibiSlopes?.values),
    dSink: ofOption(problem.sink),
    dCaptured: ofOption(problem.options.scoreMod?.learned?.values),
  };
}
