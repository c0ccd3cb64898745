/** The cluster as one more configuration of the grid: calls must give what the oracle gives. */

import type { HostTensor } from "@flashtile/attention";
import {
  type Cluster,
  type ClusterCache,
  type Split,
  UnsupportedError,
} from "@flashtile/attention/cluster";
import { type BackwardResult, hostForward, hostTensor, type Session } from "../backends.ts";
import type { Case } from "../case.ts";
import { dtypeOf } from "../oracle.ts";
import type { TestCluster } from "./processes.ts";
import type { ForwardInputs } from "../backends.ts";

const axisOf = (layout: string | undefined) => layout === "bhsd" ? 2 : 1;

/** Rows of k or v, where they lie. */
function rowsOf(tensor: ForwardInputs["k"], axis: number, begin: number, end: number) {
  const { shape, data, dtype } = tensor;
  const dense = shape.map((_, n) => shape.slice(n + 1).reduce((a, b) => a * b, 1));
  const strides = tensor.strides ?? dense;
  return {
    data: data.subarray(Math.min(data.length, begin * strides[axis]!)) as typeof data,
    shape: shape.map((n, index) => index === axis ? end - begin : n),
    strides,
    ...dtype && { dtype },
  };
}

/** k and v in a cache of the cluster, in small pages and stripes, appended in two pieces. */
export async function cacheOf(
  cluster: Cluster,
  { k, v, options }: ForwardInputs,
  stripe: number,
): Promise<ClusterCache> {
  const { layout } = options, axis = axisOf(layout), rows = k.shape[axis]!;
  const cache = await cluster.kvCache({
    sequences: k.shape[0]!,
    kvHeads: k.shape[layout === "bhsd" ? 1 : 2]!,
    headDim: k.shape[3]!,
    valueDim: v.shape[3]!,
    dtype: dtypeOf(k),
    pageSize: 4,
    pages: 4 * (k.shape[0]! * Math.ceil(rows / 4) + 64),
    stripe,
  });
  const cut = Math.floor(0.6 * rows);
  for (const [begin, end] of [[0, cut], [cut, rows]] as const) {
    await cache.append(rowsOf(k, axis, begin, end), rowsOf(v, axis, begin, end), { layout });
  }
  return cache;
}

const REFUSED = [
  "rotary",
  "alibiSlopes",
  "bias",
  "mask",
  "scoreMod",
  "maskMod",
  "blockMask",
  "dropout",
  "stats",
] as const;

/** Whether a cache of a cluster has all options of a case. */
export function cacheTakes(c: Case): boolean {
  return REFUSED.every((name) => c[name] === undefined || c[name] === false) && c.batch > 0 &&
    c.kvHeads > 0 && c.headDim > 0 && c.valueDim > 0;
}

/** Sizes of stripes that cases take in turn. */
const STRIPES = [4, 16, 3, 64];

/** A cache of a cluster as a session of the grid. */
export function cacheSession({ cluster }: TestCluster): Session {
  let turn = 0;
  return {
    takes: cacheTakes,
    forward: async (inputs) => {
      await using cache = await cacheOf(cluster, inputs, STRIPES[turn++ % STRIPES.length]!);
      return await hostForward(await cluster.attention(inputs.q, cache, inputs.options));
    },
    backward: () => Promise.reject(new UnsupportedError("backward", "cluster", "pass tensors")),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const NOT_SPLIT = ["scoreMod", "maskMod", "blockMask", "dropout", "stats", "dEntropy"] as const;

/** Whether a call that is split over nodes has all options of a case. */
export function splitTakes(c: Case, split: Split): boolean {
  if (NOT_SPLIT.some((name) => c[name] !== undefined && c[name] !== false)) return false;
  return split === "heads" || !c.alibiSlopes || (c.causal !== undefined);
}

/** Calls over host tensors as a session of the grid. */
export function splitSession({ cluster }: TestCluster, split: Split): Session {
  return {
    takes: (c) => splitTakes(c, split),
    forward: async ({ q, k, v, options }) =>
      await hostForward(await cluster.attention(q, k, v, { ...options, split })),
    backward: async ({ q, k, v, dOut, dLse, options }, { out, lse }) => {
      const saved = { q, k, v, out, lse };
      const given = { ...options, split, ...dLse && { dLse } };
      const gradients = await cluster.attentionBackward(dOut, saved, given);
      const { timing: _, ...tensors } = gradients;
      return Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [name, hostTensor(tensor as HostTensor)]),
      ) as unknown as BackwardResult;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
