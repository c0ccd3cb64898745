// Looking inside: scores of a rectangle, the largest weights of rows, what keys received in total; checked. What is left
// is a problem of its own that knows neither stages nor ranges: features that a stage does not show are gone, and queries
// and keys count from the begin of the rectangle.
import { Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import { follows, type OperandName } from "../tensor/operands.ts";
import type { AnyTensor } from "../tensor/tensor.ts";
import { type AxisIndex, type View, viewOperand } from "../tensor/view.ts";
import type { CallOptions } from "./call_options.ts";
import type {
  IndexRange,
  ScoresCallOptions,
  ScoreStage,
  TopKeysCallOptions,
} from "./inside_options.ts";
import { feature, sequenceSpans } from "./features/table.ts";
import { partOfSpan, type Stage } from "./features/feature.ts";
import { viewKeys } from "./cached.ts";
import { checkElements, checkLayout, checkNames, checkSignal } from "./option_checks.ts";
import { PACKING_OPTIONS } from "./packing.ts";
import {
  type Call,
  CALL_NAMES,
  describe,
  KNOWN,
  type Pass,
  specsOf,
  type Views,
} from "./problem.ts";

const STAGES: readonly ScoreStage[] = ["raw", "softcapped", "masked", "probabilities"];

const KNOWN_SCORES: ReadonlySet<string> = new Set([...KNOWN, "stage", "rows", "keys", "lse"]);
const KNOWN_TOP_KEYS: ReadonlySet<string> = new Set([...KNOWN, "count", "rows"]);

/** Checks what all these calls have. */
function described(
  pass: Pass,
  q: AnyTensor,
  k: AnyTensor,
  lse: AnyTensor | undefined,
  options: CallOptions,
  known: ReadonlySet<string>,
): Call & { complaint: Complaint } {
  const complaint = new Complaint(CALL_NAMES[pass]);
  checkNames(options, known, complaint);
  checkSignal((options as { signal?: unknown }).signal, complaint);
  for (const name of Object.values(PACKING_OPTIONS)) {
    if (options[name] === undefined) continue;
    const what = `${CALL_NAMES[pass]} with ${name}`;
    throw new UnsupportedError(what, "any", "call it for each sequence");
  }
  const layout = checkLayout(options.layout, complaint);
  const views: { q: View; k: View } & { [name in OperandName]?: View } = {
    q: viewOperand("q", q, layout, complaint),
    k: viewKeys(k, undefined, options, layout, complaint).k,
  };
  if (lse !== undefined) views.lse = viewOperand("lse", lse, layout, complaint);
  const starts = { queries: undefined, keys: undefined };
  return { ...describe(pass, views, options, layout, starts, complaint), complaint };
}

/** The first stage that has features of a kind; none has what is done to probabilities on their way to v. */
const FIRST_SHOWN: Readonly<Record<Stage, ScoreStage | undefined>> = {
  load: "raw",
  score: "masked",
  hide: "masked",
  state: "probabilities",
  probability: undefined,
};

/** The problem with what is there at a stage only. */
function atStage({ problem, views }: Call, stage: ScoreStage): Call {
  const features = problem.features.filter(({ name }) => {
    const { stage: acts, shown = FIRST_SHOWN[acts] } = feature(name);
    return shown !== undefined && STAGES.indexOf(shown) <= STAGES.indexOf(stage);
  });
  const names: OperandName[] = ["q", "k"];
  if (stage === "probabilities") names.push("lse");
  for (const { name } of features) names.push(...feature(name).operands ?? []);
  const kept: Views = Object.fromEntries(names.map((name) => [name, views[name]!]));
  const spans = sequenceSpans(features, problem);
  return { problem: { ...problem, features, spans, operands: specsOf(kept) }, views: kept };
}

/** The part of an operand that the ranges leave. */
function cutView(view: View, rows: IndexRange, keys: IndexRange): View {
  const what = follows(view.name), axes: [AxisIndex, IndexRange][] = [];
  if (what === "queries" || what === "scores") axes.push([2, rows]);
  if (what === "keys") axes.push([2, keys]);
  if (what === "scores") axes.push([3, keys]);
  const size = [...view.size] as [number, number, number, number];
  let { offset } = view;
  if (view.pages) {
    size[2] = keys[1] - keys[0];
    return { ...view, size, pages: { ...view.pages, first: view.pages.first + keys[0] } };
  }
  for (const [axis, [first, end]] of axes) {
    if (what === "scores" && size[axis] === 1) continue; // it repeats
    size[axis] = end - first;
    offset += first * view.strides[axis];
  }
  return { ...view, size, offset };
}

/** The problem of a rectangle, whose queries and keys count from its begin. */
function cut({ problem, views }: Call, rows: IndexRange, keys: IndexRange): Call {
  const lengthQ = rows[1] - rows[0], lengthK = keys[1] - keys[0];
  const spans = problem.spans.map((span) => partOfSpan(span, rows, keys));
  const rectangle = {
    ...{ queryBegin: rows[0], keyBegin: keys[0], lengthQ: problem.lengthQ },
    lengthsK: problem.spans.map((span) => span.lengthK),
  };
  const whole = lengthQ === problem.lengthQ && lengthK === problem.lengthK;
  const features = whole ? problem.features : problem.features.map(({ name, params }) => ({
    name,
    params: feature(name).within?.(params, rectangle) ?? params,
  }));
  const parts: Views = Object.fromEntries(
    Object.entries(views).map(([name, view]) => [name, cutView(view, rows, keys)]),
  );
  return {
    problem: { ...problem, features, spans, lengthQ, lengthK, operands: specsOf(parts) },
    views: parts,
  };
}

/** A range of an axis: all of it where none is given. */
function checkRange(
  name: string,
  range: unknown,
  length: number,
  complaint: Complaint,
): IndexRange {
  if (range === undefined) return [0, length];
  const wanted = `a pair [first, end] with 0 <= first <= end <= ${length}`;
  if (!Array.isArray(range) || range.length !== 2) {
    throw complaint.type(`${name} is ${show(range)} but must be ${wanted}`);
  }
  const [first, end] = range;
  const inside = Number.isSafeInteger(first) && Number.isSafeInteger(end) && first >= 0 &&
    first <= end && end <= length;
  if (!inside) throw complaint.range(`${name} is ${show(range)} but must be ${wanted}`);
  return [first, end];
}

/** Checks a call of `attentionScores`. */
export function describeScores(q: AnyTensor, k: AnyTensor, options: ScoresCallOptions): Call {
  const { stage, lse } = options ?? {};
  const { complaint, ...call } = described("scores", q, k, lse, options, KNOWN_SCORES);
  if (!STAGES.includes(stage!)) {
    const wanted = STAGES.map(show).join(", ");
    throw complaint.type(`stage is ${show(stage)} but must be one of ${wanted}`);
  }
  if (stage === "probabilities" && lse === undefined) {
    throw complaint.type(`lse is undefined but stage "probabilities" needs that of attention`);
  }
  const { lengthQ, lengthK, batch, queryHeads } = call.problem;
  const rows = checkRange("rows", options.rows, lengthQ, complaint);
  const keys = checkRange("keys", options.keys, lengthK, complaint);
  const n = batch * queryHeads * (rows[1] - rows[0]) * (keys[1] - keys[0]);
  checkElements(n, `rows ${show(rows)}, keys ${show(keys)}`, complaint);
  return cut(atStage(call, stage!), rows, keys);
}

/** Throws unless an lse was given; whose it is cannot be seen. */
function requireLse(lse: AnyTensor, pass: Pass): void {
  if (lse !== undefined) return;
  throw new Complaint(CALL_NAMES[pass]).type(`lse is undefined but must be that of attention`);
}

/** Checks a call of `attentionTopKeys`. */
export function describeTopKeys(
  q: AnyTensor,
  k: AnyTensor,
  lse: AnyTensor,
  options: TopKeysCallOptions,
): Call {
  requireLse(lse, "topKeys");
  const { complaint, ...call } = described("topKeys", q, k, lse, options, KNOWN_TOP_KEYS);
  const { lengthQ, lengthK, batch, queryHeads } = call.problem, { count } = options;
  if (typeof count !== "number") {
    throw complaint.type(`count is ${show(count)} but must be a number`);
  }
  if (!(Number.isSafeInteger(count) && count >= 1 && count <= lengthK)) {
    throw complaint.range(
      `count is ${count} but must be an integer from 1 to lengthK = ${lengthK}`,
    );
  }
  const rows = checkRange("rows", options.rows, lengthQ, complaint);
  const n = batch * queryHeads * (rows[1] - rows[0]) * count;
  checkElements(n, `rows ${show(rows)}, count ${count}`, complaint);
  const { problem, views } = cut(atStage(call, "probabilities"), rows, [0, lengthK]);
  return { problem: { ...problem, count }, views };
}

/** Checks a call of `attentionColumnSums`. */
export function describeColumnSums(
  q: AnyTensor,
  k: AnyTensor,
  lse: AnyTensor,
  options: CallOptions,
): Call {
  requireLse(lse, "columnSums");
  const { problem, views } = described("columnSums", q, k, lse, options, KNOWN);
  return atStage({ problem, views }, "probabilities");
}
