// Attention and its gradients over host tensors that are split over nodes, and put together again in a fixed order.
import type { Engine } from "../../engine/engine.ts";
import type {
  AttentionGradients,
  AttentionResult,
  BackwardCallOptions,
  CallOptions,
  SavedForBackward,
} from "../../problem/call_options.ts";
import { type Call, describeBackward, describeForward } from "../../problem/problem.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { count } from "../../tensor/shape.ts";
import { mergeParts } from "../merge.ts";
import { planHeads } from "../options/head_runs.ts";
import { planKeys } from "../options/key_runs.ts";
import { refuseSplit, type SplitCall } from "../options/parts.ts";
import type { Place } from "../wire/requests.ts";
import { gradientLikes, optionTensors } from "../options/operands.ts";
import { type Split, splitRuns } from "../split.ts";
import { storedLike, toFloats, type WireType } from "../wire/narrow.ts";
import { addAxis, placeAxis } from "../wire/slices.ts";
import { checkHost } from "./append_rows.ts";
import type { Limits } from "./asker.ts";
import type { ClusterHome } from "./home.ts";
import type { NodeInfo } from "./nodes.ts";
import type { CallTiming } from "./read_cache.ts";
import { type Part, type PartResult, runParts } from "./run_parts.ts";

/** How a call is split and sent. */
export interface HostSite {
  readonly home: ClusterHome;
  readonly engine: () => Engine;
  readonly nodes: readonly NodeInfo[];
  readonly split: Split | undefined;
  readonly wire: WireType;
  readonly limits: Limits;
  /** Of its jobs. */
  readonly name: string;
}

/** Causal work is even in zigzag order; other work in any. */
function splitOf({ split }: HostSite, { causal }: CallOptions): Split {
  return split ?? (causal ? "zigzag" : "contiguous");
}

/** The parts of a checked call. `queries`: the tensors that lie along queries. */
function partsOf(
  site: HostSite,
  call: SplitCall,
  queries: Readonly<Record<string, HostTensor>>,
): { parts: Part[]; split: Split } {
  const { problem, k } = call, split = splitOf(site, call.options), count = site.nodes.length;
  if (split === "heads") {
    const runs = splitRuns(problem.kvHeads, count, split);
    return {
      split,
      parts: runs.map(([run]) => ({ runs: [planHeads(call, run!, queries)], shared: {} })),
    };
  }
  const rows = problem.packed?.keys ? k.shape[0]! : problem.lengthK;
  const parts = splitRuns(rows, count, split).map((runs, p) => ({
    runs: runs.map((run, n) => planKeys(call, run, p + n === 0)),
    shared: queries,
  }));
  return { split, parts };
}

/** Throws where a tensor of a call does not lie in host memory. */
function checkAllHost(action: string, tensors: Readonly<Record<string, unknown>>): void {
  for (const [name, tensor] of Object.entries(tensors)) checkHost(action, name, tensor);
}

/** Puts a part of a result where it belongs. */
function put(whole: HostTensor<Float32Array>, place: Place, part: HostTensor): void {
  const floats = toFloats(part);
  if (place === "sum") addAxis(whole, 0, 0, floats);
  else placeAxis(whole, place.axis, place.from, floats);
}

const zeros = (shape: readonly number[]): HostTensor<Float32Array> => ({
  data: new Float32Array(count(shape)),
  shape,
});

/** `attention` over nodes. */
export async function hostAttention(
  site: HostSite,
  q: HostTensor,
  k: HostTensor,
  v: HostTensor,
  options: CallOptions,
): Promise<AttentionResult & { readonly timing: CallTiming }> {
  const begin = performance.now();
  checkAllHost("attention", { q, k, v, ...optionTensors(options) });
  refuseSplit(options, splitOf(site, options));
  const { problem } = describeForward(q, k, v, options);
  const { parts, split } = partsOf(site, { problem, options, k, v }, { q });
  const results = await runParts(
    site.home,
    site.nodes,
    parts,
    "forward",
    site.wire,
    site.limits,
    site.name,
  );
  const { out, lse } = split === "heads" ? joinHeads(problem, q, results, parts) : mergeParts(
    site.engine(),
    results.map(({ tensors }) => ({
      out: toFloats(tensors["out"]!),
      lse: tensors["lse"] as HostTensor<Float32Array>,
    })),
    problem.layout,
  );
  return {
    out: storedLike(toFloats(out), q),
    lse: lse as HostTensor<Float32Array>,
    timing: timingOf(begin, results),
  };
}

function timingOf(begin: number, results: readonly PartResult[]): CallTiming {
  return { total: performance.now() - begin, parts: results.map(({ ms }) => ms) };
}

/** Results of heads beside each other. */
function joinHeads(
  { packed, batch, queryHeads, lengthQ, valueDim }: Call["problem"],
  q: HostTensor,
  results: readonly PartResult[],
  parts: readonly Part[],
): { out: HostTensor; lse: HostTensor } {
  const out = zeros([...q.shape.slice(0, -1), valueDim]);
  const lse = zeros(packed?.queries ? [queryHeads, q.shape[0]!] : [batch, queryHeads, lengthQ]);
  results.forEach(({ tensors }, n) => {
    const { places } = parts[n]!.runs[0]!;
    put(out, places["out"]!, tensors["out"]!);
    put(lse, places["lse"]!, tensors["lse"]!);
  });
  return { out, lse };
}

/** `attentionBackward` over nodes: gradients of keys come from the part that has them, those of queries are sums of parts. */
export async function hostBackward(
  site: HostSite,
  dOut: HostTensor,
  saved: SavedForBackward<HostTensor, HostTensor, HostTensor>,
  options: BackwardCallOptions,
): Promise<AttentionGradients & { readonly timing: CallTiming }> {
  const begin = performance.now(), { q, k, v } = saved;
  checkAllHost("attentionBackward", { dOut, ...saved, ...optionTensors(options) });
  refuseSplit(options, splitOf(site, options));
  const { problem } = describeBackward(dOut, saved, options), { dLse, ...rest } = options;
  const queries = {
    ...{ q, dOut, out: saved.out as HostTensor, lse: saved.lse as HostTensor },
    ...dLse && { dLse: dLse as HostTensor },
  };
  const { parts } = partsOf(site, { problem, options: rest, k, v }, queries);
  const results = await runParts(
    site.home,
    site.nodes,
    parts,
    "backward",
    site.wire,
    site.limits,
    site.name,
  );
  const like = gradientLikes(saved, options);
  const sums = new Map(Object.entries(like).map(([name, { shape }]) => [name, zeros(shape)]));
  results.forEach(({ tensors }, n) => {
    parts[n]!.runs.forEach(({ places }, run) => {
      for (const [name, place] of Object.entries(places)) {
        const part = place === "sum" ? run === 0 && tensors[name] : tensors[`${name}.${run}`];
        if (part) put(sums.get(name)!, place, part);
      }
    });
  });
  const gradients = [...sums].map(([name, sum]) => [name, storedLike(sum, like[name]!)]);
  return {
    ...Object.fromEntries(gradients) as unknown as AttentionGradients,
    timing: timingOf(begin, results),
  };
}
