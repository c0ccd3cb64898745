/** Causal attention and its gradients at a long length, split over four nodes, beside one engine. */

import { createEngine, type HostTensor } from "@flashtile/attention";
import { startCluster } from "../../tests/cluster/processes.ts";
import { normalNumbers } from "../../tests/random.ts";
import type { Results } from "../measure/store.ts";
import { cpuSeconds, median } from "./report.ts";

/** The largest difference of two tensors, and the largest value. */
function difference(a: HostTensor, b: HostTensor): { readonly most: number; readonly of: number } {
  let most = 0, of = 0;
  for (let i = 0; i < b.data.length; i++) {
    most = Math.max(most, Math.abs(a.data[i]! - b.data[i]!));
    of = Math.max(of, Math.abs(b.data[i]!));
  }
  return { most, of };
}

/** Slowest over mean. */
const balance = (parts: readonly number[]): number =>
  Math.max(...parts) / (parts.reduce((a, b) => a + b, 0) / parts.length);

/** Both passes, each split in turn with the other. */
export async function passes(
  length: number,
  heads: number,
  nodes: number,
  repeats: number,
  results: Results,
): Promise<void> {
  await using started = await startCluster(nodes, { deadline: 600_000, patience: 300_000 });
  const { cluster } = started, shape = [1, length, heads, 64];
  const normal = (seed: number): HostTensor => ({
    data: Float32Array.from(normalNumbers(seed, length * heads * 64)),
    shape,
  });
  const [q, k, v, dOut] = [normal(1), normal(2), normal(3), normal(4)];
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const timed = async <T>(run: () => Promise<T>): Promise<[T, number]> => {
    const begin = performance.now();
    return [await run(), performance.now() - begin];
  };
  const options = { causal: true };
  const [want, one] = await timed(() => engine.attention(q, k, v, options));
  const saved = { q, k, v, ...want };
  const [grads, oneBack] = await timed(() => engine.attentionBackward(dOut, saved, options));
  const splits = ["contiguous", "zigzag"] as const;
  const runs = splits.map((split) => ({
    split,
    parts: { forward: [] as number[][], backward: [] as number[][] },
    totals: { forward: [] as number[], backward: [] as number[] },
    // of each node: parts share cores with each other, and their times say who had one
    cores: { forward: new Array(nodes).fill(0), backward: new Array(nodes).fill(0) },
    differences: {} as Record<string, { most: number; of: number }>,
  }));
  const used = () => [...started.nodes.values()].map(({ pid }) => cpuSeconds(pid));
  for (let n = 0; n < repeats; n++) {
    for (const { split, parts, totals, cores, differences } of runs) {
      const before = used();
      const got = await cluster.attention(q, k, v, { ...options, split });
      const between = used();
      const back = await cluster.attentionBackward(dOut, saved, { ...options, split });
      used().forEach((seconds, node) => {
        cores.forward[node] += between[node]! - before[node]!;
        cores.backward[node] += seconds - between[node]!;
      });
      for (const [pass, { timing }] of [["forward", got], ["backward", back]] as const) {
        parts[pass].push([...timing.parts]);
        totals[pass].push(timing.total);
      }
      for (const name of ["out", "lse"] as const) {
        differences[name] = difference(got[name], want[name]);
      }
      for (const name of ["dq", "dk", "dv"] as const) {
        differences[name] = difference(back[name], grads[name]);
      }
    }
  }
  for (const { split, parts, totals, cores, differences } of runs) {
    for (const pass of ["forward", "backward"] as const) {
      const oneMs = pass === "forward" ? one : oneBack, times = parts[pass].map(balance);
      const slowest = median(times), work = balance(cores[pass]);
      const names = pass === "forward" ? ["out", "lse"] : ["dq", "dk", "dv"];
      const said = names.map((name) => {
        const { most, of } = differences[name]!;
        return `${name} ${most.toExponential(1)} of ${of.toPrecision(2)}`;
      });
      console.log(
        `${length} tokens, ${heads} heads, ${nodes} nodes, ${split}, ${pass}: ${
          Math.min(...totals[pass]).toFixed(0)
        } ms (one engine ${oneMs.toFixed(0)}), ${said.join(", ")}; slowest part over mean ${
          slowest.toFixed(3)
        } (${times.map((x) => x.toFixed(3)).join(", ")}), in core seconds ${work.toFixed(3)}`,
      );
      results.add("cluster-passes", {
        ...{
          tokens: length,
          heads,
          nodes,
          split,
          pass,
          repeats,
          totalMs: Math.min(...totals[pass]),
        },
        ...{ oneEngineMs: oneMs, slowestOverMean: slowest, coreSecondsOverMean: work },
        ...Object.fromEntries(names.map((name) => [`${name}Difference`, differences[name]!.most])),
        ...Object.fromEntries(names.map((name) => [`${name}Largest`, differences[name]!.of])),
      });
    }
  }
}
