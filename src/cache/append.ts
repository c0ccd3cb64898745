// Rows that enter a cache: whose they are, checked against what the cache holds.
import { type Complaint, show } from "../tensor/errors.ts";
import { entriesOf } from "../tensor/lists.ts";
import type { AnyTensor } from "../tensor/tensor.ts";
import { type View, viewOperand } from "../tensor/view.ts";
import type { Layout, SequenceStarts } from "../problem/call_options.ts";
import { checkLayout, refuseIntegers } from "../problem/option_checks.ts";
import { parseSequences } from "../problem/cached.ts";
import type { AppendRotary } from "../problem/features/append_rotary.ts";
import type { CacheShape } from "./cache_options.ts";

/** Options of `cache.append`. */
export interface AppendOptions {
  /** The sequence of each batch element, each at most once. Default all of the cache. */
  readonly sequences?: readonly number[] | Int32Array | undefined;
  /** Packed rows: k is [rows, kvHeads, headDim], and sequence n of `sequences` has rows from entry n to before n + 1. */
  readonly cuSeqlens?: SequenceStarts | undefined;
  /**
   * Rotates k as it enters, by the numbers that its rows get or by `positions`: calls then pass `rotary` with
   * `keys: false`, which rotates q alone.
   */
  readonly rotary?: AppendRotary | undefined;
  /** Order of the axes of k and v that are not packed. Default `"bshd"`. */
  readonly layout?: Layout | undefined;
}

/** A checked append. */
export interface Append {
  readonly layout: Layout;
  readonly k: View;
  readonly v: View;
  readonly sequences: readonly number[];
  /** New rows of each of them. */
  readonly rows: readonly number[];
}

const KNOWN = ["sequences", "cuSeqlens", "rotary", "layout"];

function checkNames(options: unknown, complaint: Complaint): void {
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be an object`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (KNOWN.includes(name) || value === undefined) continue;
    throw complaint.type(
      `options has the unknown name ${show(name)}, wanted one of ${KNOWN.join(", ")}`,
    );
  }
}

/** New rows of each sequence, of packed rows. */
function packedRows(
  starts: SequenceStarts,
  sequences: number,
  rows: number,
  complaint: Complaint,
): number[] {
  const wanted = "an array or Int32Array of row numbers from 0 on";
  const list = entriesOf("cuSeqlens", starts, wanted, complaint);
  if (list.length !== sequences + 1) {
    throw complaint.range(
      `cuSeqlens has ${list.length} entries but ${sequences} sequences need ${sequences + 1}`,
    );
  }
  list.forEach((start, n) => {
    const least = n === 0 ? 0 : list[n - 1]!, most = n === 0 ? 0 : rows;
    if (Number.isSafeInteger(start) && start >= least && start <= most) return;
    const wanted = n === 0 ? "0" : `an integer from ${least} to the ${rows} rows of k`;
    throw complaint.range(`cuSeqlens[${n}] is ${show(start)} but must be ${wanted}`);
  });
  return list.slice(1).map((end, n) => end - list[n]!);
}

function checkSizes(view: View, wanted: readonly [string, number][], complaint: Complaint): void {
  const { name, size } = view;
  const found = [size[1], size[3]];
  wanted.forEach(([what, n], index) => {
    if (found[index] === n) return;
    throw complaint.range(`${name} has ${what} ${found[index]} but the cache has ${n}`);
  });
}

/** Checks what is appended. */
export function describeAppend(
  k: AnyTensor,
  v: AnyTensor,
  options: AppendOptions,
  { sequences: total, keys, values }: CacheShape,
  complaint: Complaint,
): Append {
  checkNames(options, complaint);
  const { cuSeqlens } = options, packed = cuSeqlens !== undefined;
  const layout = checkLayout(options.layout, complaint);
  const views = {
    k: viewOperand("k", k, layout, complaint, packed),
    v: viewOperand("v", v, layout, complaint, packed),
  };
  for (const view of [views.k, views.v]) refuseIntegers(view, view.name);
  checkSizes(views.k, [["kvHeads", keys.heads], ["headDim", keys.columns]], complaint);
  checkSizes(views.v, [["kvHeads", values.heads], ["valueDim", values.columns]], complaint);
  const sequences = parseSequences(options.sequences, total, complaint);
  const doubled = sequences.find((s, n) => sequences.indexOf(s) < n);
  if (doubled !== undefined) {
    throw complaint.range(`sequences has ${doubled} twice but each may be written once`);
  }
  const [batch, , length] = views.k.size;
  if (views.v.size[2] !== length || views.v.size[0] !== batch) {
    const [rows, other] = [[batch, length], [views.v.size[0], views.v.size[2]]].map((n) =>
      n.join(" x ")
    );
    throw complaint.range(`v has ${other} rows but k has ${rows}`);
  }
  if (!packed && batch !== sequences.length) {
    throw complaint.range(`k has batch ${batch} but sequences has ${sequences.length} entries`);
  }
  const rows = packed
    ? packedRows(cuSeqlens, sequences.length, length, complaint)
    : sequences.map(() => length);
  return { layout, ...views, sequences, rows };
}
