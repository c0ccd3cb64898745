// What is asked, as plain data: every user error is thrown here, and nothing after this file looks at
// options again. A problem holds no tensors and knows no device, so it can be planned, printed, compared.
import { CachedRows } from "../tensor/cached_rows.ts";
import { Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { FeatureUse, SequenceSpan } from "./features/feature.ts";
import { checkScalar } from "./features/scalar.ts";
import { feature, FEATURES, parseFeatures, sequenceSpans } from "./features/table.ts";
import {
  type AxisSizes,
  type OperandName,
  OPERANDS,
  type StatisticName,
} from "../tensor/operands.ts";
import { learnedElements } from "./learned.ts";
import { parseStatistics, savedEntropy } from "./statistics.ts";
import { viewKeys } from "./cached.ts";
import { parseStarts } from "./packing.ts";
import { parsePrecision, type Precision } from "./precision.ts";
import { checkExtent, checkSize, dimsOf, type Starts } from "./sizes.ts";
import { type OperandSpec, type View, viewOperand } from "../tensor/view.ts";
import type { BackwardCallOptions, Layout, SavedForBackward } from "./call_options.ts";
import { checkLayout, checkNames, checkSignal, refuseIntegers } from "./option_checks.ts";
import type { AnyTensor } from "../tensor/tensor.ts";

/** What a call runs: one of the two passes, a look inside the first, or late interaction and its gradients. */
export type Pass =
  | "forward"
  | "backward"
  | "scores"
  | "topKeys"
  | "columnSums"
  | "maxSim"
  | "maxSimBackward";

/** The name under which errors know a call. */
export const CALL_NAMES: Readonly<Record<Pass, string>> = {
  forward: "attention",
  backward: "attentionBackward",
  scores: "attentionScores",
  topKeys: "attentionTopKeys",
  columnSums: "attentionColumnSums",
  maxSim: "maxSim",
  maxSimBackward: "maxSimBackward",
};

/** The results of a call that is none of the two passes. */
export function insideNames({ pass }: { readonly pass: Pass }): readonly OperandName[] {
  if (pass === "maxSim") return ["documentScores", "documentKeys"];
  if (pass === "maxSimBackward") return ["dq", "dk"];
  return pass === "topKeys" ? ["topKeys", "topProbabilities"] : [pass as "scores" | "columnSums"];
}

/** A validated call. */
export interface AttentionProblem extends AxisSizes {
  readonly pass: Pass;
  readonly layout: Layout;
  readonly softmaxScale: number;
  /** What products are computed in. */
  readonly precision: Precision;
  readonly features: readonly FeatureUse[];
  /** What each sequence of the batch may see. */
  readonly spans: readonly SequenceSpan[];
  /** Statistics of each row that are asked for. */
  readonly statistics: readonly StatisticName[];
  /** The inputs that the call has. */
  readonly operands: { readonly [name in OperandName]?: OperandSpec };
}

/** The inputs of a call, by name. */
export type Views = { readonly [name in OperandName]?: View };

/** A checked call: what is asked, and the tensors. */
export interface Call {
  readonly problem: AttentionProblem;
  readonly views: Views;
  /** Where results go that the caller has room for. */
  readonly into?: Views | undefined;
  /** The same places as the caller named them, which the call returns: a host tensor is looked at once. */
  readonly given?: { readonly [name in OperandName]?: AnyTensor } | undefined;
}

/** Options of a call: each feature is one, by its name. */
export const KNOWN: ReadonlySet<string> = new Set([
  "layout",
  "softmaxScale",
  "stats",
  ...FEATURES.map(({ name }) => name),
  "engine",
  "signal",
]);
const KNOWN_FORWARD: ReadonlySet<string> = new Set([...KNOWN, "into", "precision", "verify"]);
const KNOWN_BACKWARD: ReadonlySet<string> = new Set([
  ...KNOWN,
  ...["dLse", "dEntropy", "into", "precision", "verify"],
]);

function checkScale(scale: unknown, headDim: number, complaint: Complaint): number {
  if (scale === undefined) return 1 / Math.sqrt(Math.max(1, headDim));
  return checkScalar("softmaxScale", scale, complaint);
}

function startsOf(options: BackwardCallOptions, complaint: Complaint): Starts {
  return {
    queries: parseStarts("queries", options, complaint),
    keys: parseStarts("keys", options, complaint),
  };
}

/** Checks tensors and options that were looked at one by one against each other. */
export function describe(
  pass: Pass,
  views: { q: View; k: View } & Views,
  options: BackwardCallOptions,
  layout: Layout,
  starts: Starts,
  complaint: Complaint,
): Call {
  const dims = dimsOf(views, layout, starts, complaint);
  checkExtent(dims, complaint);
  const softmaxScale = checkScale(options.softmaxScale, dims.headDim, complaint);
  const precision = parsePrecision(options.precision, complaint);
  const parsed = parseFeatures(options, dims, complaint);
  const asked = parseStatistics(options.stats, complaint);
  const all: { [name in OperandName]?: View } = { ...views };
  for (const { name } of parsed) {
    for (const operand of feature(name).operands ?? []) {
      all[operand] = viewOperand(operand, options[operand]!, layout, complaint);
    }
  }
  for (const view of Object.values(all)) {
    if (!view.pages && OPERANDS[view.name].dtype !== "bool") refuseIntegers(view, view.name);
    checkSize(view, dims, complaint);
  }
  const spans = sequenceSpans(parsed, dims), operands = specsOf(all);
  const statistics = pass === "forward" ? asked : [];
  const features = parsed.map(({ name, params }): FeatureUse => {
    const { check, settle } = feature(name);
    check?.(params, spans, dims, complaint);
    const settled = settle?.(params, spans, dims, pass === "scores", complaint);
    return { name, params: settled ?? params };
  });
  const captured = pass === "backward" ? learnedElements(features) : 0;
  const about = { pass, layout, softmaxScale, precision, features, spans, statistics, operands };
  const problem = { ...about, ...dims, captured };
  return { problem, views: all };
}

/** Views without their tensors. */
export function specsOf(views: Views): AttentionProblem["operands"] {
  return Object.fromEntries(
    Object.entries(views).map(([name, { dtype, size, strides, resident, pages }]) => [
      name,
      { dtype, size, strides, resident, ...pages && { pages } },
    ]),
  );
}

/** Checks a forward call. */
export function describeForward(
  q: AnyTensor,
  k: AnyTensor,
  v: AnyTensor,
  options: BackwardCallOptions,
): Call {
  const complaint = new Complaint("attention");
  checkNames(options, KNOWN_FORWARD, complaint);
  checkSignal((options as { signal?: unknown }).signal, complaint);
  const layout = checkLayout(options.layout, complaint), starts = startsOf(options, complaint);
  const queries = viewOperand("q", q, layout, complaint, starts.queries !== undefined);
  // calls that look inside have no v; here one that is missing is a mistake
  if (v === undefined) viewOperand("v", v, layout, complaint);
  return describe(
    "forward",
    { q: queries, ...viewKeys(k, v, options, layout, complaint) },
    options,
    layout,
    starts,
    complaint,
  );
}

/** Checks a backward call. */
export function describeBackward(
  dOut: AnyTensor,
  saved: SavedForBackward,
  options: BackwardCallOptions,
): Call {
  const complaint = new Complaint("attentionBackward");
  checkNames(options, KNOWN_BACKWARD, complaint);
  checkSignal((options as { signal?: unknown }).signal, complaint);
  if (typeof saved !== "object" || saved === null) {
    throw complaint.type(`saved is ${show(saved)} but must be { q, k, v, out, lse }`);
  }
  if (saved.k instanceof CachedRows || saved.v instanceof CachedRows) {
    throw new UnsupportedError(
      "attentionBackward through a cache",
      "any",
      "keep k and v as tensors",
    );
  }
  const layout = checkLayout(options.layout, complaint), starts = startsOf(options, complaint);
  const ofQueries = (name: OperandName, tensor: AnyTensor) =>
    viewOperand(name, tensor, layout, complaint, starts.queries !== undefined);
  const ofKeys = (name: OperandName, tensor: AnyTensor) =>
    viewOperand(name, tensor, layout, complaint, starts.keys !== undefined);
  const views: { q: View; k: View; v: View } & { [name in OperandName]?: View } = {
    q: ofQueries("q", saved.q),
    k: ofKeys("k", saved.k),
    v: ofKeys("v", saved.v),
    out: ofQueries("out", saved.out),
    lse: ofQueries("lse", saved.lse),
    dOut: ofQueries("dOut", dOut),
  };
  if (options.dLse !== undefined) views.dLse = ofQueries("dLse", options.dLse);
  if (options.dEntropy !== undefined) {
    views.entropy = ofQueries("entropy", savedEntropy(saved, complaint));
    views.dEntropy = ofQueries("dEntropy", options.dEntropy);
  }
  return describe("backward", views, options, layout, starts, complaint);
}
