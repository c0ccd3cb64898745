// Which precisions a machine has, and calls that have none but f32 there.
import { type AttentionProblem, CALL_NAMES } from "../problem/problem.ts";
import type { Precision } from "../problem/precision.ts";
import { UnsupportedError } from "../tensor/errors.ts";
import type { Target } from "./target.ts";

/** The precisions of a machine. */
export function precisionsOf(target: Target): readonly Precision[] {
  return target.backend === "webgpu" && target.shaderF16 ? ["f32", "f16"] : ["f32"];
}

const LEAVE_OUT = "leave precision out, which computes in f32";

const asked = ({ precision, pass }: AttentionProblem) =>
  `precision "${precision}" of ${CALL_NAMES[pass]}`;

/** Throws where a machine cannot compute a call in the precision that is asked for. */
export function checkPrecision(problem: AttentionProblem, target: Target): void {
  if (problem.precision === "f32") return;
  const what = asked(problem);
  if (problem.pass !== "forward") throw new UnsupportedError(what, "any", LEAVE_OUT);
  if (target.backend === "wasm") {
    const remedy = `${LEAVE_OUT}, or use an engine that has it among its precisions`;
    throw new UnsupportedError(what, "wasm", remedy);
  }
  if (target.shaderF16) return;
  const remedy = `its device (${target.adapter}) lacks the feature shader-f16; ${LEAVE_OUT}`;
  throw new UnsupportedError(what, "webgpu", remedy);
}

/** The same of calls whose rows are so few that a kernel of their own computes them. */
export function refuseFewRows(problem: AttentionProblem): void {
  if (problem.precision === "f32") return;
  const rows = problem.lengthQ * problem.queryHeads / Math.max(1, problem.kvHeads);
  throw new UnsupportedError(
    `${asked(problem)} with ${rows} rows for each head of k`,
    "webgpu",
    `so few rows wait for memory, of which k and v of dtype "f16" take half; ${LEAVE_OUT}`,
  );
}
