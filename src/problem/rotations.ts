// Which operands of a call turn as they are read. Their gradients turn back as they are written.
import { OPERAND_NAMES, type OperandName, OPERANDS } from "../tensor/operands.ts";
import type { View } from "../tensor/view.ts";
import type { Layout } from "./call_options.ts";
import type { RowRotation } from "./features/row_rotation.ts";
import { feature } from "./features/table.ts";
import type { AttentionProblem } from "./problem.ts";

/** Rows of a tensor that turn outside of a call, at once. */
export interface TurnCall {
  /** The name under which errors know the call. */
  readonly action: string;
  readonly view: View;
  readonly layout: Layout;
  readonly rotation: RowRotation;
  /** Back. */
  readonly inverse: boolean;
}

type Features = Pick<AttentionProblem, "features">;

/** How the rows of an input turn, or those that a gradient is of; undefined where they are read as they are. */
export function rotationOf({ features }: Features, name: OperandName): RowRotation | undefined {
  const input = OPERANDS[name].gradientOf ?? name;
  for (const { name, params } of features) {
    const rotation = feature(name).rotations?.(params)[input as "q"];
    if (rotation) return rotation;
  }
  return undefined;
}

/** The inputs of a problem whose rows turn, in the order of the operand table. */
export function rotatedInputs(problem: AttentionProblem): OperandName[] {
  return OPERAND_NAMES.filter((name) =>
    OPERANDS[name].role === "input" && rotationOf(problem, name) !== undefined
  );
}
