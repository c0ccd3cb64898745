// Late interaction in parts: sets of queries that can be bound and dispatched, documents that gradients may add to at the
// same time, and, where adapters end long loops, fewer queries and documents.
import { geometry, type TileShape } from "../../../shaders/abi.ts";
import type { WebGpuTarget } from "../../plan/target.ts";
import { UnsupportedError } from "../../tensor/errors.ts";
import { extentOf } from "../../tensor/shape.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { Axes, View } from "../../tensor/view.ts";

/** First index, and one past the last. */
export type Span = readonly [begin: number, end: number];

/** What is bound of a tensor [sets, documents, queries], or of queries [sets, queries, columns]. */
export interface DocumentPart {
  readonly sets: Span;
  readonly documents: Span;
  readonly queries: Span;
}

/** Turns that the loops of an invocation may have on software adapters, all together: see `longestStream`. */
const MOST_TURNS = 60000;

/** Spans of at most `size` that come to `n`; one of nothing where there is nothing. */
export function spansOf(n: number, size: number): Span[] {
  const spans: Span[] = [];
  for (let begin = 0; begin === 0 || begin < n; begin += size) {
    spans.push([begin, Math.min(n, begin + size)]);
  }
  return spans;
}

/** Where a tensor with an axis of sets lies. */
type SetsOf = { readonly size: Axes; readonly strides: Axes };

/** Sets of queries of which what is bound has at most `most` elements, in dispatches of at most `workgroups`. */
export function setsWithin(
  sets: number,
  tensors: readonly SetsOf[],
  most: number,
  workgroups: number,
): Span[] {
  let size = Math.max(1, Math.min(sets, workgroups));
  const elements = ({ size: [, , rows, columns], strides }: SetsOf) =>
    extentOf([1, size, rows, columns], strides);
  while (size > 1 && tensors.some((tensor) => elements(tensor) > most)) size = Math.ceil(size / 2);
  return spansOf(sets, size);
}

/**
 * Documents that choose no row that another one of the span does: they add to its gradient at the same time. What `maxSim`
 * made in the memory of a device has every row in one document; host keys may have been put together by anybody.
 */
export function documentsApart({ tensor, size, strides }: View, rows: number): Span[] {
  const [, sets, documents, queries] = size;
  if (!("data" in tensor)) return [[0, documents]];
  const { data } = tensor as HostTensor<Int32Array>, spans: Span[] = [];
  const owners = new Int32Array(rows).fill(-1);
  let begin = 0;
  for (let document = 0; document < documents; document++) {
    const chosen: number[] = [];
    for (let set = 0; set < sets; set++) {
      const at = set * strides[1] + document * strides[2];
      for (let i = 0; i < queries; i++) if (data[at + i]! >= 0) chosen.push(data[at + i]!);
    }
    if (chosen.some((row) => owners[row]! >= begin && owners[row] !== document)) {
      spans.push([begin, document]);
      begin = document;
    }
    for (const row of chosen) owners[row] = document;
  }
  return [...spans, [begin, documents]];
}

/** Queries that one dispatch of the search may take; `longest`: rows of a document. */
export function queriesWithin(
  lengthQ: number,
  longest: number,
  tile: TileShape,
  headChunks: number,
  { software }: WebGpuTarget,
): Span[] {
  if (!software) return [[0, lengthQ]];
  const { rows, columns, depth, unroll, nx } = geometry(tile);
  // a loop is left in a turn of its own
  const product = headChunks * (2 + depth / unroll) + 2;
  const turns = Math.ceil(longest / columns) * product + rows + nx + 4;
  const size = Math.floor(MOST_TURNS / turns) * rows;
  if (size > 0) return spansOf(lengthQ, size);
  throw new UnsupportedError(
    `a document of ${longest} rows on a software adapter`,
    "webgpu",
    "use an engine on the CPU: drivers of such adapters end loops that are so long",
  );
}

/** Queries and sets that one dispatch of dK may take, and documents that one of dQ may. */
export function gradientTurns(
  { lengthQ, headDim }: { readonly lengthQ: number; readonly headDim: number },
  { software }: WebGpuTarget,
): { readonly queries: number; readonly sets: number; readonly documents: number } {
  if (!software) return { queries: Infinity, sets: Infinity, documents: Infinity };
  const most = Math.max(1, Math.floor(MOST_TURNS / (2 + Math.ceil(headDim / 256))));
  const queries = Math.min(lengthQ, most);
  return { queries, sets: Math.max(1, Math.floor(most / (queries + 1))), documents: most };
}
