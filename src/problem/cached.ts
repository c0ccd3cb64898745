// Keys and values that a cache holds: which of its sequences a call reads, and where their rows lie.
import { CachedRows } from "../tensor/cached_rows.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import { entriesOf } from "../tensor/lists.ts";
import { poolStrides } from "../tensor/pages.ts";
import type { AnyTensor } from "../tensor/tensor.ts";
import { type View, viewOperand } from "../tensor/view.ts";
import type { CallOptions, Layout } from "./call_options.ts";

/** Numbers of sequences of a cache, checked against how many it has. */
export function parseSequences(
  value: unknown,
  sequences: number,
  complaint: Complaint,
): readonly number[] {
  if (value === undefined) return Array.from({ length: sequences }, (_, index) => index);
  const wanted = "an array or Int32Array of sequences of the cache";
  const list = entriesOf("sequences", value, wanted, complaint);
  list.forEach((n, index) => {
    if (Number.isSafeInteger(n) && n >= 0 && n < sequences) return;
    throw complaint.range(
      `sequences[${index}] is ${show(n)} but the cache has the sequences 0 to ${sequences - 1}`,
    );
  });
  return list;
}

function checkPart(name: "k" | "v", { part, disposed }: CachedRows, complaint: Complaint): void {
  const wanted = name === "k" ? "keys" : "values";
  if (part !== wanted) {
    throw complaint.type(`${name} is the ${part} of a cache but its ${wanted} were wanted`);
  }
  if (disposed) {
    throw complaint.type(`${name} belongs to a cache that was disposed but must be a live one`);
  }
}

/** A view of what a cache holds for the sequences of a call. */
function viewCached(
  name: "k" | "v",
  rows: CachedRows,
  { sequences, cuSeqlensK }: CallOptions,
  complaint: Complaint,
): View {
  checkPart(name, rows, complaint);
  if (cuSeqlensK !== undefined) {
    throw complaint.type(
      `${name} is the ${rows.part} of a cache, which knows its lengths: leave cuSeqlensK out`,
    );
  }
  const { source, pool, memory } = rows;
  const table = source.table(parseSequences(sequences, source.lengths.length, complaint));
  const longest = table.lengths.reduce((a, b) => Math.max(a, b), 0);
  return {
    name,
    tensor: memory,
    dtype: pool.dtype,
    resident: true,
    size: [table.lengths.length, pool.heads, longest, pool.columns],
    strides: [...poolStrides(pool), 1],
    offset: 0,
    pages: table,
  };
}

/** Views of k and of v, where there is one; both are of one cache, or neither is. */
export function viewKeys<V extends AnyTensor | undefined>(
  k: AnyTensor,
  v: V,
  options: CallOptions,
  layout: Layout,
  complaint: Complaint,
): { k: View; v: V extends undefined ? undefined : View } {
  const packed = options.cuSeqlensK !== undefined;
  const view = (name: "k" | "v", tensor: AnyTensor) =>
    tensor instanceof CachedRows
      ? viewCached(name, tensor, options, complaint)
      : viewOperand(name, tensor, layout, complaint, packed);
  const source = (tensor: unknown) => tensor instanceof CachedRows ? tensor.source : undefined;
  const [ofK, ofV] = [source(k), v === undefined ? source(k) : source(v)];
  const views = { k: view("k", k), v: v === undefined ? undefined : view("v", v) };
  if (ofK !== ofV) {
    const [one, other] = ofK ? ["k", "v"] : ["v", "k"];
    throw complaint.type(
      ofK && ofV
        ? "k and v belong to two caches but must come from one"
        : `${one} belongs to a cache but ${other} does not: pass cache.keys and cache.values`,
    );
  }
  if (!ofK && options.sequences !== undefined) {
    throw complaint.type(
      `sequences is ${show(options.sequences)} but k is not the keys of a cache: leave it out`,
    );
  }
  return views as ReturnType<typeof viewKeys<V>>;
}
