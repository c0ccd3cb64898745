// What is asked, as plain data: every user error is thrown here, and nothing after this file looks at
// options again. A problem holds no tensors and knows no device, so it can be planned, printed, compared.
import { Complaint, show } from "../tensor/errors.ts";
import { type FeatureUse, type SequenceSpan, UNBOUNDED } from "./features/feature.ts";
import { checkScalar } from "./features/scalar.ts";
import { feature, FEATURES, parseFeatures, sequenceSpans } from "./features/table.ts";
import {
  type AxisSizes,
  type InsideName,
  type OperandName,
  OPERANDS,
  operandSize,
  type PackedSides,
  type StatisticName,
} from "../tensor/operands.ts";
import { learnedElements } from "./learned.ts";
import { parseStatistics, savedEntropy } from "./statistics.ts";
import { longestOf, packedSideOf, parseStarts, sequencesOf } from "./packing.ts";
import { AXIS_INDICES, type OperandSpec, type View, viewOperand } from "../tensor/view.ts";
import type { BackwardCallOptions, Layout, SavedForBackward } from "./call_options.ts";
import {
  checkElements,
  checkLayout,
  checkNames,
  checkSignal,
  refuseIntegers,
} from "./option_checks.ts";
import type { AnyTensor } from "../tensor/tensor.ts";

/** What a call runs: one of the two passes, or a look inside the first. */
export type Pass = "forward" | "backward" | "scores" | "topKeys" | "columnSums";

/** The name under which errors know a call. */
export const CALL_NAMES: Readonly<Record<Pass, string>> = {
  forward: "attention",
  backward: "attentionBackward",
  scores: "attentionScores",
  topKeys: "attentionTopKeys",
  columnSums: "attentionColumnSums",
};

/** The results of a call that looks inside. */
export function insideNames({ pass }: { readonly pass: Pass }): readonly InsideName[] {
  return pass === "topKeys" ? ["topKeys", "topProbabilities"] : [pass as "scores" | "columnSums"];
}

/** A validated call. */
export interface AttentionProblem extends AxisSizes {
  readonly pass: Pass;
  readonly layout: Layout;
  readonly softmaxScale: number;
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
const KNOWN_BACKWARD: ReadonlySet<string> = new Set([...KNOWN, "dLse", "dEntropy"]);

/** Far more (sequence, head) pairs than a schedule of work could hold. */
const MOST_HEADS = 2 ** 24;

function checkScale(scale: unknown, headDim: number, complaint: Complaint): number {
  if (scale === undefined) return 1 / Math.sqrt(Math.max(1, headDim));
  return checkScalar("softmaxScale", scale, complaint);
}

/** What to try where shapes do not fit but would in the other layout. */
function layoutHint(
  { size: q }: View,
  { size: k }: View,
  v: View | undefined,
  layout: Layout,
): string {
  const alike = !v || [0, 1, 2].every((axis) => k[axis] === v.size[axis]);
  const fits = alike && q[0] === k[0] && q[3] === k[3] && k[2] > 0 && q[2] % k[2] === 0;
  if (!fits) return "";
  const [other, axes] = layout === "bshd"
    ? ["bhsd", "[batch, heads, length, dim], as in PyTorch and ONNX"]
    : ["bshd", "[batch, length, heads, dim]"];
  return ` (are the axes ${axes}? then pass layout: "${other}")`;
}

/** First rows of packed sequences, as options give them. */
export interface Starts {
  readonly queries: readonly number[] | undefined;
  readonly keys: readonly number[] | undefined;
}

function startsOf(options: BackwardCallOptions, complaint: Complaint): Starts {
  return {
    queries: parseStarts("queries", options, complaint),
    keys: parseStarts("keys", options, complaint),
  };
}

/** Sizes of a call with a packed side. */
function packedDims(dims: AxisSizes, { queries, keys }: Starts, complaint: Complaint): AxisSizes {
  const packed: PackedSides = {
    queries: packedSideOf("queries", queries, dims.lengthQ, complaint),
    keys: packedSideOf("keys", keys, dims.lengthK, complaint),
  };
  const batch = sequencesOf(packed, complaint);
  if (batch === undefined) return dims;
  return {
    ...dims,
    batch,
    lengthQ: packed.queries ? longestOf(packed.queries) : dims.lengthQ,
    lengthK: packed.keys ? longestOf(packed.keys) : dims.lengthK,
    packed,
  };
}

function dimsOf(
  { q, k, v }: { q: View; k: View } & Views,
  layout: Layout,
  starts: Starts,
  complaint: Complaint,
): AxisSizes {
  const hint = layoutHint(q, k, v, layout);
  const [batch, queryHeads, lengthQ, headDim] = q.size;
  const [, kvHeads, lengthK, keyDim] = k.size;
  const same = (what: string, a: View, x: number, b: View, y: number) => {
    if (x !== y) {
      throw complaint.range(`${b.name} has ${what} ${y} but ${a.name} has ${what} ${x}`);
    }
  };
  same("headDim", q, headDim, k, keyDim);
  if (!starts.queries && !starts.keys) same("batch", q, batch, k, k.size[0]);
  if (v) {
    same("batch", k, k.size[0], v, v.size[0]);
    same("kvHeads", k, kvHeads, v, v.size[1]);
    same("lengthK", k, lengthK, v, v.size[2]);
  }
  if (headDim < 1) throw complaint.range(`q has headDim ${headDim} but it must be at least 1`);
  if (v && v.size[3] < 1) {
    throw complaint.range(`v has valueDim ${v.size[3]} but it must be at least 1`);
  }
  if (kvHeads === 0 ? queryHeads !== 0 : queryHeads % kvHeads !== 0) {
    throw complaint.range(
      `q has ${queryHeads} queryHeads but they must be a multiple of the ${kvHeads} kvHeads of k` +
        hint,
    );
  }
  const valueDim = v?.size[3] ?? 0;
  const dims = {
    batch,
    queryHeads,
    kvHeads,
    lengthQ,
    lengthK,
    headDim,
    valueDim,
    count: 0,
    captured: 0,
  };
  return packedDims(dims, starts, complaint);
}

/** Axes as errors name them. */
const AXIS_WORDS = {
  batch: "batch",
  queryHead: "queryHeads",
  kvHead: "kvHeads",
  query: "lengthQ",
  key: "lengthK",
  headDim: "headDim",
  valueDim: "valueDim",
  count: "count",
  captured: "elements",
  one: "columns",
} as const;

/** Throws unless the axes of an operand are as long as the call says; those of `broadcast` were checked. */
function checkSize(view: View, dims: AxisSizes, complaint: Complaint): void {
  const { axes, shape } = OPERANDS[view.name], wantedSize = operandSize(view.name, dims);
  if (shape === "broadcast") return;
  for (const n of AXIS_INDICES) {
    const wanted = wantedSize[n], found = view.size[n];
    if (found === wanted) continue;
    if (shape === "heads" && n === 0 && found === 1) continue; // the same for every sequence
    throw complaint.range(
      `${view.name} has ${AXIS_WORDS[axes[n]]} ${found} but ${wanted} was wanted`,
    );
  }
}

/** Throws where sizes are beyond what can be computed, before anything is planned: strides of 0 reach any size. */
function checkExtent(dims: AxisSizes, complaint: Complaint): void {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = dims;
  const query = lengthQ * Math.max(headDim, valueDim), key = lengthK * Math.max(headDim, valueDim);
  const most = batch * Math.max(queryHeads * query, kvHeads * key);
  checkElements(most, `batch ${batch}, lengthQ ${lengthQ}, lengthK ${lengthK}`, complaint);
  for (const name of ["lengthQ", "lengthK"] as const) {
    if (dims[name] < UNBOUNDED) continue;
    throw complaint.range(`${name} is ${dims[name]} but must be below ${UNBOUNDED}`);
  }
  if (batch * queryHeads > MOST_HEADS || batch > MOST_HEADS) {
    throw complaint.range(
      `batch ${batch} times queryHeads ${queryHeads} is ${batch * queryHeads} ` +
        `but must be at most ${MOST_HEADS}`,
    );
  }
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
  const features = parseFeatures(options, dims, complaint);
  const asked = parseStatistics(options.stats, complaint);
  const all: { [name in OperandName]?: View } = { ...views };
  for (const { name } of features) {
    for (const operand of feature(name).operands ?? []) {
      all[operand] = viewOperand(operand, options[operand]!, layout, complaint);
    }
  }
  for (const view of Object.values(all)) {
    refuseIntegers(view, view.name);
    checkSize(view, dims, complaint);
  }
  const spans = sequenceSpans(features, dims), operands = specsOf(all);
  const statistics = pass === "forward" ? asked : [];
  for (const { name, params } of features) {
    feature(name).check?.(params, spans, dims, complaint);
  }
  const captured = pass === "backward" ? learnedElements(features) : 0;
  const about = { pass, layout, softmaxScale, features, spans, statistics, operands };
  const problem = { ...about, ...dims, captured };
  return { problem, views: all };
}

/** Views without their tensors. */
export function specsOf(views: Views): AttentionProblem["operands"] {
  return Object.fromEntries(
    Object.entries(views).map(([name, { dtype, size, strides, resident }]) => [
      name,
      { dtype, size, strides, resident },
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
  checkNames(options, KNOWN, complaint);
  checkSignal((options as { signal?: unknown }).signal, complaint);
  const layout = checkLayout(options.layout, complaint), starts = startsOf(options, complaint);
  const [queries, keys] = [starts.queries !== undefined, starts.keys !== undefined];
  return describe(
    "forward",
    {
      q: viewOperand("q", q, layout, complaint, queries),
      k: viewOperand("k", k, layout, complaint, keys),
      v: viewOperand("v", v, layout, complaint, keys),
    },
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
