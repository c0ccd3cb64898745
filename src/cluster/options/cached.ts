// Options of a call that reads a cache whose rows lie on several nodes: what the client sends, and what a node makes of it.
// A shard sees a part of the keys under numbers of its own, so whatever looks at the number of a key is translated.
import { captured } from "../../expression/captured.ts";
import { type MaskMod, maskMod } from "../../expression/score_mod.ts";
import type { CallOptions } from "../../problem/call_options.ts";
import type { FeatureName } from "../../problem/features/feature.ts";
import { UNBOUNDED } from "../../problem/features/feature.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { UnsupportedError } from "../../tensor/errors.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { refusePrecision } from "./parts.ts";
import { firstStripe, type StripeShape } from "../stripes.ts";
import type { CachedOptions } from "../wire/requests.ts";

/** What becomes of each option. `spans`: it says which keys a query sees, and travels as that. */
const HOW: { readonly [name in FeatureName]: "sent" | "spans" | "first shard" | "here" | string } =
  {
    softcap: "sent",
    causal: "spans",
    window: "spans",
    keyLengths: "spans",
    sink: "first shard",
    sequences: "here",
    rotary: "rotate q and the rows that enter with applyRotary",
    alibiSlopes: "gather the keys in one place",
    bias: "gather the keys in one place",
    mask: "gather the keys in one place",
    scoreMod: "gather the keys in one place",
    maskMod: "gather the keys in one place",
    blockMask: "gather the keys in one place",
    dropout: "leave it out: a cache is for decoding",
    cuSeqlensQ: "pass one batch element for each sequence",
    cuSeqlensK: "leave it out: the cache knows its lengths",
  };

/** Throws where an option has no meaning over a cache of several nodes. */
export function refuseCached(options: CallOptions): void {
  for (const [name, how] of Object.entries(HOW)) {
    const given = options[name as FeatureName];
    if (given === undefined || given === false || !how.includes(" ") || how === "first shard") {
      continue;
    }
    throw new UnsupportedError(`${name} over a cache of a cluster`, "cluster", how);
  }
  refusePrecision(options);
  if (options.stats !== undefined) {
    throw new UnsupportedError("stats over a cache of a cluster", "cluster", "leave it out");
  }
  if (options.into !== undefined) {
    throw new UnsupportedError("into over a cache of a cluster", "cluster", "copy the results");
  }
}

/** What is sent of a checked call. */
export function cachedOptions(
  { spans, softmaxScale, lengthQ }: AttentionProblem,
  { softcap }: CallOptions,
): CachedOptions {
  const hides = spans.some(({ low, high, lengthK }) =>
    high < lengthK - 1 || low > -Math.max(0, lengthQ - 1)
  );
  return {
    scalars: { softmaxScale, ...softcap !== undefined && { softcap } },
    ...hides && { low: spans.map(({ low }) => low), high: spans.map(({ high }) => high) },
  };
}

/** The same for queries from `first` on. */
export function fromQuery(options: CachedOptions, first: number): CachedOptions {
  const { low, high } = options;
  if (!low || !high || first === 0) return options;
  return {
    ...options,
    low: low.map((n) => n <= -UNBOUNDED ? n : n + first),
    high: high.map((n) => n >= UNBOUNDED ? n : n + first),
  };
}

/** Which of the rows of a shard each query sees: rows are in stripes, so their places in the sequence follow from theirs here. */
function visible(
  shape: StripeShape,
  starts: readonly number[],
  shard: number,
  low: readonly number[],
  high: readonly number[],
): MaskMod {
  const { shards, stripe } = shape,
    clamp = (n: number) => Math.max(-(2 ** 29), Math.min(2 ** 29, n));
  const facts = starts.flatMap((start, n) => [
    firstStripe(shape, start, shard),
    clamp(low[n]!),
    clamp(high[n]!),
  ]);
  const table = captured(Int32Array.from(facts), [starts.length, 3]);
  return maskMod(({ batch, query, key }) => {
    const row = key.floorDiv(stripe).mul(shards).add(table.at(batch, 0)).mul(stripe)
      .add(key.mod(stripe));
    const distance = row.sub(query);
    return distance.ge(table.at(batch, 1)).and(distance.le(table.at(batch, 2)));
  });
}

/** Which rows a shard has of what a call reads. */
export interface ShardRows extends StripeShape {
  readonly shard: number;
  /** The shard that each sequence begins at. */
  readonly starts: readonly number[];
  /** Where these lie in the cache of the node, and the rows there that the call sees. */
  readonly slots: readonly number[];
  readonly lengths: readonly number[];
}

/** The options of the node's own call. */
export function shardOptions(
  { low, high, scalars }: CachedOptions,
  rows: ShardRows,
  operands: Readonly<Record<string, HostTensor>>,
): CallOptions {
  const { sink } = operands;
  return {
    ...scalars,
    sequences: rows.slots,
    keyLengths: rows.lengths,
    ...low && high && { maskMod: visible(rows, rows.starts, rows.shard, low, high) },
    // one of the parts that are merged has it
    ...sink && rows.shard === 0 && { sink },
  };
}

/** Tensors among the options that travel beside q. */
export function cachedOperands({ sink }: CallOptions): Record<string, HostTensor> {
  return sink === undefined ? {} : { sink: sink as HostTensor };
}
