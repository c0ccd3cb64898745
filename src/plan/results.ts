// What a call returns, as planning sees it: sizes and storage of the results follow from the operand table.
import { type AttentionProblem, insideNames } from "../problem/problem.ts";
import { axisSize, gradientsOf, type OperandName, OPERANDS } from "../tensor/operands.ts";
import type { OperandSpec } from "../tensor/view.ts";

/** A result: where it lies in its tensor is not said. */
export interface PlannedResult extends Pick<OperandSpec, "size" | "dtype" | "resident"> {
  readonly name: OperandName;
}

/** Every result of a problem, in the order in which calls return them. */
export function plannedResults(problem: AttentionProblem): PlannedResult[] {
  const { operands, pass } = problem;
  const names = pass === "forward"
    ? ["out", "lse"] as const
    : pass === "backward"
    ? gradientsOf(operands)
    : insideNames(problem);
  return names.map((name) => {
    const { axes, dtype, gradientOf } = OPERANDS[name];
    const like = operands[gradientOf ?? "q"]!; // results live where their input does, those that are no gradients where q does
    const size = gradientOf ? like.size : axes.map((axis) => axisSize(axis, problem));
    return {
      name,
      size: size as OperandSpec["size"],
      dtype: dtype === "any" ? like.dtype : dtype,
      resident: like.resident,
    };
  });
}
