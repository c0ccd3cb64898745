// Attention of queries over a cache of the cluster: checked here, cut into messages, merged from the shards' results.
import { nuid } from "@nats-io/nats-core";
import type { Engine } from "../../engine/engine.ts";
import type { AttentionResult, CallOptions } from "../../problem/call_options.ts";
import { parseSequences } from "../../problem/cached.ts";
import { describeForward } from "../../problem/problem.ts";
import { Complaint } from "../../tensor/errors.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { rowMajor } from "../../tensor/shape.ts";
import { cachedOperands, cachedOptions, fromQuery, refuseCached } from "../options/cached.ts";
import type { Message } from "../wire/message.ts";
import { storedLike, toFloats, toWire, type WireType } from "../wire/narrow.ts";
import { placeAxis, sliceAxis } from "../wire/slices.ts";
import { windowed } from "../wire/transfer.ts";
import { checkHost } from "./append_rows.ts";
import type { Limits } from "./asker.ts";
import { askShards, type QuerySite } from "./attend.ts";
import type { ShardedRows } from "./sharded_rows.ts";

/** What a call took: for those who tune a cluster. */
export interface CallTiming {
  /** Milliseconds from call to result. */
  readonly total: number;
  /** Milliseconds that each shard, or part, computed. */
  readonly parts: readonly number[];
}

/** How a call reads. */
export interface ReadSite extends QuerySite {
  /** The engine that merges. */
  readonly engine: () => Engine;
  readonly payload: () => number;
}

/** Blocks of queries under way at a time. */
const BLOCKS = 2;

/** Keys of these lengths as a tensor without memory: what a call is checked against. */
function standIn(batch: number, length: number, heads: number, columns: number): HostTensor {
  return {
    data: new Float32Array(columns),
    shape: [batch, length, heads, columns],
    strides: [0, 0, 0, 1],
  };
}

/** A tensor of queries, or of results, as [batch, length, heads, columns] whatever its layout: the same memory. */
function inOrder(tensor: HostTensor, layout: CallOptions["layout"]): HostTensor {
  if (layout !== "bhsd") return tensor;
  const [b, h, s, d] = tensor.shape, [sb, sh, ss, sd] = tensor.strides ?? rowMajor(tensor.shape);
  return { ...tensor, shape: [b!, s!, h!, d!], strides: [sb!, ss!, sh!, sd!] };
}

/** The result of a call, put together from blocks of queries. */
class Assembled {
  readonly out: HostTensor<Float32Array>;
  readonly lse: HostTensor<Float32Array>;
  readonly #ordered: HostTensor;

  constructor(
    batch: number,
    length: number,
    heads: number,
    columns: number,
    layout: CallOptions["layout"],
  ) {
    const shape = layout === "bhsd"
      ? [batch, heads, length, columns]
      : [batch, length, heads, columns];
    this.out = { data: new Float32Array(batch * length * heads * columns), shape };
    this.lse = { data: new Float32Array(batch * heads * length), shape: [batch, heads, length] };
    this.#ordered = inOrder(this.out, layout);
  }

  place(out: HostTensor, lse: HostTensor, first: number): void {
    placeAxis(this.#ordered, 1, first, out);
    placeAxis(this.lse, 2, first, lse);
  }
}

/** The results of the shards as one, in the order of the shards. */
function merged(engine: Engine, replies: readonly Message[]): AttentionResult {
  const parts = replies.map(({ tensors }) => ({
    out: toFloats(tensors["out"]!),
    lse: tensors["lse"]!,
  }));
  return engine.mergeAttention(parts);
}

/** Attention over a cache. */
export async function readCache(
  site: ReadSite,
  cache: ShardedRows,
  q: HostTensor,
  options: CallOptions,
  wire: WireType,
  limits: Limits,
): Promise<AttentionResult & { readonly timing: CallTiming }> {
  const begin = performance.now(), { id, shape: { spec }, lengths: all, places, starts } = cache;
  checkHost("attention", "q", q);
  refuseCached(options);
  const complaint = new Complaint("attention");
  const sequences = parseSequences(options.sequences, spec.sequences, complaint);
  const lengths = sequences.map((s) => all[s]!);
  const batch = sequences.length, longest = Math.max(0, ...lengths);
  const keys = standIn(batch, longest, spec.kvHeads, spec.headDim);
  const values = standIn(batch, longest, spec.kvHeads, spec.valueDim);
  const { layout, sequences: _, ...rest } = options, { keyLengths = lengths } = options;
  const { problem } = describeForward(
    layout === "bhsd" ? inOrder(q, layout) : q,
    keys,
    values,
    { ...rest, keyLengths },
  );
  const { queryHeads, lengthQ, valueDim, spans } = problem;
  const plain = toWire(inOrder(q, layout), wire), sent = cachedOptions(problem, options);
  const rowBytes = batch * queryHeads * 4 * (Math.max(spec.headDim, valueDim) + 1);
  // what is said of each sequence and shard in the header
  const most = site.payload() - 64 * batch - 48 * places.length;
  const rows = Math.floor(most / rowBytes);
  if (rows <= 0) {
    throw new RangeError(
      `Cannot run attention: a query of each of ${batch} sequences has ${rowBytes} bytes but a message of ` +
        `the server at most ${most}: pass fewer sequences, or raise max_payload`,
    );
  }
  const result = new Assembled(batch, lengthQ, queryHeads, valueDim, layout);
  const parts = places.map(() => 0), operands = cachedOperands(options);
  const versions = places.map(({ version }) => version);
  const blocks = Array.from({ length: Math.ceil(lengthQ / rows) }, (_, n) => n * rows);
  await windowed(blocks, async (first) => {
    const end = Math.min(lengthQ, first + rows);
    const head = {
      cache: id,
      call: nuid.next(),
      sequences,
      starts: sequences.map((sequence) => starts[sequence]!),
      lengths: spans.map(({ lengthK }) => lengthK),
      options: fromQuery(sent, first),
      versions,
      wire,
    };
    const tensors = { q: sliceAxis(plain, 1, first, end), ...operands };
    const replies = await askShards(site, cache, head, tensors, limits);
    replies.forEach(({ head }, shard) => parts[shard]! += head["ms"] as number);
    const { out, lse } = merged(site.engine(), replies);
    result.place(out, lse, first);
  }, BLOCKS);
  return {
    out: storedLike(result.out, q),
    lse: result.lse,
    timing: { total: performance.now() - begin, parts },
  };
}
