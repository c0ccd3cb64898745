/**
 * A gradient checker for anybody's attention: your forward and backward functions beside float64 and beside finite
 * differences of your own forward function, on problems of odd sizes and with the options that you ask for. It says what
 * is wrong, by which factor, with which option, and how to see it again.
 *
 * @example
 * ```ts
 * import { checkGradients } from "@flashtile/attention/check";
 * import { attentionBackwardSync, attentionSync } from "@flashtile/attention";
 *
 * const options = { options: ["causal", "bias"], problems: 6 } as const;
 * const report = await checkGradients(attentionSync, attentionBackwardSync, options);
 * if (!report.passed) throw new Error(report.text);
 * ```
 *
 * @module
 */
import type { CheckedBackward, CheckedForward, CheckedForwardResult } from "./check/given.ts";
import { GradientCheckError, GradientReport, type ProblemReport } from "./check/report.ts";
import { askProblem, prepareProblem } from "./check/run.ts";
import { sampleProblems } from "./check/sample.ts";
import { type CheckOptions, checkSettings } from "./check/options.ts";
import { Complaint, show } from "./tensor/errors.ts";

export type {
  CheckedBackward,
  CheckedBackwardOptions,
  CheckedCallOptions,
  CheckedForward,
  CheckedForwardResult,
  CheckedGradients,
  CheckedTensor,
  GivenNumbers,
  GivenResult,
  ReadableResult,
} from "./check/given.ts";
export type { AbortSignalLike } from "./backend/backend.ts";
export type { CheckedOption, CheckedProblem, ProblemSizes } from "./check/problem.ts";
export type { CheckOptions } from "./check/options.ts";
export type { CheckSizes, StorageName } from "./check/settings.ts";
export type { Diagnosis, DiagnosisKind } from "./check/diagnose.ts";
export type { Differences } from "./check/differences.ts";
export type { Finding, ProblemReport, ResultReport } from "./check/report.ts";
export type { ResultName } from "./check/results.ts";
export type { GradientName } from "./check/gradients.ts";
export { GradientCheckError, GradientReport } from "./check/report.ts";
export type { DType, Float16ArrayLike, TensorData } from "./tensor/dtype.ts";
export type { HostTensor } from "./tensor/tensor.ts";
export type { Layout } from "./problem/call_options.ts";

/**
 * Checks an attention: `forward(q, k, v, options)` returns `{ out, lse? }`, `backward(dOut, saved, options)` returns
 * `{ dq, dk, dv }`, and `dBias`, `dAlibiSlopes` and `dSink` where the options have those tensors. Both may be
 * asynchronous. `saved` is what the forward function returned, with q, k and v. Inputs are float32 tensors
 * `{ data, shape }`, new for each call; results are arrays of numbers, or tensors like these, in the shapes that
 * `attention` and `attentionBackward` give.
 *
 * What is wrong is in the report, not thrown, unless the option `throws` is set. A function that throws is a finding.
 *
 * @throws {TypeError} an argument or option of the wrong kind. @throws {RangeError} a number out of range.
 * @throws {GradientCheckError} with `throws`, if something is wrong.
 *
 * @example
 * ```ts
 * import { checkGradients } from "@flashtile/attention/check";
 * import { attentionBackwardSync, attentionSync } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * // a backward pass that forgets to scale the gradient of q
 * const report = await checkGradients(attentionSync, (dOut, saved, options) => {
 *   const { dq, dk, dv } = attentionBackwardSync(dOut, saved, options);
 *   return { dq: dq.data.map((x) => x * Math.sqrt(saved.q.shape[3]!)), dk, dv };
 * }, { problems: 5 });
 *
 * const [finding] = report.findings;
 * assert.deepEqual(finding!.results, ["dq"]);
 * assert.equal(finding!.diagnosis.expressions![0], "√headDim");
 * console.log(report.text);
 * ```
 */
export async function checkGradients<F extends CheckedForwardResult>(
  forward: CheckedForward<F>,
  backward: CheckedBackward<F>,
  options: CheckOptions = {},
): Promise<GradientReport> {
  const complaint = new Complaint("checkGradients");
  for (const [name, given] of Object.entries({ forward, backward })) {
    if (typeof given === "function") continue;
    throw complaint.type(`${name} is ${show(given)} but must be a function`);
  }
  const settings = checkSettings(options, complaint), reports: ProblemReport[] = [];
  const problems = sampleProblems(settings, complaint);
  let failures = 0;
  for (const problem of problems) {
    settings.signal?.throwIfAborted();
    const report = await askProblem({ forward, backward }, prepareProblem(problem, settings));
    reports.push(report);
    options.onProblem?.(report, reports.length, problems.length);
    if (!report.passed && ++failures >= settings.maxFailures) break;
  }
  const report = new GradientReport(reports, settings);
  if (settings.throws && !report.passed) throw new GradientCheckError(report);
  return report;
}
