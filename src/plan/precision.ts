// Which precisions a machine has, and calls that have none but f32 there.
import { type AttentionProblem, CALL_NAMES, type Pass } from "../problem/problem.ts";
import type { Precision } from "../problem/precision.ts";
import { UnsupportedError } from "../tensor/errors.ts";
import type { Target } from "./target.ts";

/** The precisions of every CPU. */
export const CPU_PRECISIONS: readonly Precision[] = ["f32", "int8", "int8-pv"];

/** The precisions of a machine. */
export function precisionsOf(target: Target): readonly Precision[] {
  if (target.backend === "wasm") return CPU_PRECISIONS;
  return target.shaderF16 ? ["f32", "f16"] : ["f32"];
}

const LEAVE_OUT = "leave precision out, which computes in f32";

const asked = ({ precision, pass }: AttentionProblem) =>
  `precision "${precision}" of ${CALL_NAMES[pass]}`;

/** The passes that some machine has in a precision. */
const PASSES: Readonly<Record<Exclude<Precision, "f32">, readonly Pass[]>> = {
  f16: ["forward", "backward"],
  int8: ["forward"],
  "int8-pv": ["forward"],
};

/** Throws where a machine cannot compute a call in the precision that is asked for. */
export function checkPrecision(problem: AttentionProblem, target: Target): void {
  const { precision, pass } = problem, { backend } = target;
  if (precision === "f32") return;
  const what = asked(problem);
  if (!PASSES[precision].includes(pass)) throw new UnsupportedError(what, "any", LEAVE_OUT);
  if (precisionsOf(target).includes(precision)) return;
  const remedy = `${LEAVE_OUT}, or use an engine that has it among its precisions`;
  if (backend === "wasm" || precision !== "f16") throw new UnsupportedError(what, backend, remedy);
  const lacks = `its device (${target.adapter}) lacks the feature shader-f16`;
  throw new UnsupportedError(what, "webgpu", `${lacks}; ${LEAVE_OUT}`);
}

/** The same of calls whose rows are so few that a kernel of their own computes them. */
export function refuseFewRows(problem: AttentionProblem, { backend }: Target): void {
  const { precision, lengthQ, queryHeads, kvHeads } = problem;
  if (precision === "f32") return;
  const rows = lengthQ * queryHeads / Math.max(1, kvHeads);
  const stored = precision === "f16"
    ? 'of which k and v of dtype "f16" take half'
    : 'of which a cache of dtype "i8" takes a quarter';
  throw new UnsupportedError(
    `${asked(problem)} with ${rows} rows for each head of k`,
    backend,
    `so few rows wait for memory, ${stored}; ${LEAVE_OUT}`,
  );
}
