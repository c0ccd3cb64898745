// The sizes of a call, found from its tensors, and whether everything has them.
import type { Complaint } from "../tensor/errors.ts";
import { type AxisSizes, OPERANDS, operandSize, type PackedSides } from "../tensor/operands.ts";
import { AXIS_INDICES, type View } from "../tensor/view.ts";
import type { Layout } from "./call_options.ts";
import { UNBOUNDED } from "./features/feature.ts";
import { checkElements } from "./option_checks.ts";
import { longestOf, packedSideOf, sequencesOf } from "./packing.ts";

/** Far more (sequence, head) pairs than a schedule of work could hold. */
const MOST_HEADS = 2 ** 24;

/** First rows of packed sequences, as options give them. */
export interface Starts {
  readonly queries: readonly number[] | undefined;
  readonly keys: readonly number[] | undefined;
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

/** The sizes that q, k and v say. Throws where they do not fit together. */
export function dimsOf(
  { q, k, v }: { readonly q: View; readonly k: View; readonly v?: View | undefined },
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
    cached: k.pages?.lengths,
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
  document: "documents",
  one: "columns",
} as const;

/** Throws unless the axes of an operand are as long as the call says; those of `broadcast` were checked. */
export function checkSize(view: View, dims: AxisSizes, complaint: Complaint): void {
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
export function checkExtent(dims: AxisSizes, complaint: Complaint): void {
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
