// What a call returns, as planning sees it: sizes and storage of the results follow from the operand table.
import { type AttentionProblem, insideNames } from "../problem/problem.ts";
import { gradientNames, type OperandName, OPERANDS, operandSize } from "../tensor/operands.ts";
import type { OperandSpec } from "../tensor/view.ts";

/** A result: where it lies in its tensor is not said. */
export interface PlannedResult extends Pick<OperandSpec, "size" | "dtype" | "resident"> {
  readonly name: OperandName;
}

/** The names of the results, in the order in which calls return them. */
export function resultNames(problem: AttentionProblem): readonly OperandName[] {
  const { pass, statistics } = problem;
  if (pass === "forward") return ["out", "lse", ...statistics];
  return pass === "backward" ? gradientNames(problem) : insideNames(problem);
}

/** Every result of a problem, in that order. */
export function plannedResults(problem: AttentionProblem): PlannedResult[] {
  const { operands } = problem;
  return resultNames(problem).map((name) => {
    const { dtype, gradientOf } = OPERANDS[name];
    const like = operands[gradientOf ?? "q"]!; // results live where their input does, those that are no gradients where q does
    return {
      name,
      size: gradientOf ? like.size : operandSize(name, problem),
      dtype: dtype === "any" ? like.dtype : dtype,
      resident: like.resident && name !== "dCaptured", // arrays that are captured are the host's
    };
  });
}
