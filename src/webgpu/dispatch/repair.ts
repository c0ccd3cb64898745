// The step that follows every kernel with a matrix product into its result: see shaders/kernels/exact.ts.
import {
  EXACT_ROWS,
  type ExactKind,
  exactShader,
  exactVariant,
} from "../../../shaders/kernels/exact.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import { type CallVariant, type Step, untiled, type WindowPlaces } from "./dispatch.ts";

/** Repairs rows that are not finite; see shaders/kernels/exact.ts. */
export function exactStep(
  kind: ExactKind,
  call: CallVariant,
  w: WindowPlaces,
  step: Pick<Step, "bindings" | "params">,
): Step {
  const v = exactVariant(untiled(call)), byKey = kind === "dk" || kind === "dv";
  const rows = byKey ? w.lengthK : w.lengthQ * w.group;
  return {
    kernel: { key: variantKey(`exact ${kind}`, v), code: () => exactShader(kind, v) },
    ...step,
    // starting a workgroup costs more than looking through rows: some for each core, no more. Loops of one
    // workgroup are bounded on software adapters (see longestStream), so there each has few rows
    x: w.fewRows ? Math.ceil(rows / EXACT_ROWS) : Math.min(
      Math.ceil(rows / EXACT_ROWS),
      Math.ceil(2 * w.wantedWorkgroups / (w.kvHeads * w.batch)),
    ),
    y: w.kvHeads,
    z: w.batch,
    flops: rows * w.kvHeads * w.batch * w.valueDim,
  };
}
