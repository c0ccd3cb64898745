/** A long cache over four nodes: right, the same bits every time, and how much longer than its slowest shard. */

import { createEngine, type HostTensor } from "@flashtile/attention";
import { startCluster } from "../../tests/cluster/processes.ts";
import type { Results } from "../measure/store.ts";
import { median, spread } from "./report.ts";

const KV_HEADS = 8, HEADS = 32, DIM = 64, CHUNK = 8192;

/** Rows of float16 bits, of magnitudes from 1/16 to 1: other ones for each seed. */
function halves(rows: number, seed: number): HostTensor {
  const data = new Uint16Array(rows * KV_HEADS * DIM);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < data.length; i++) {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    data[i] = state >>> 16 & 0x8000 | 0x2c00 + (state >>> 20) % 0x1000;
  }
  return { data, shape: [1, rows, KV_HEADS, DIM], dtype: "f16" };
}

/** Every float16 as a number. */
const VALUES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const exponent = bits >>> 10 & 31, mantissa = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
  return sign * (1024 + mantissa) * 2 ** (exponent - 25); // the rows have normal numbers only
});

/** Keys and values of the first head: what the formula is written out for. */
class FirstHead {
  readonly #k: Uint16Array;
  readonly #v: Uint16Array;
  #rows = 0;

  constructor(most: number) {
    this.#k = new Uint16Array(most * DIM);
    this.#v = new Uint16Array(most * DIM);
  }

  add(k: HostTensor, v: HostTensor): void {
    for (let row = 0; row < k.shape[1]!; row++, this.#rows++) {
      const from = row * KV_HEADS * DIM, at = this.#rows * DIM;
      this.#k.set((k.data as Uint16Array).subarray(from, from + DIM), at);
      this.#v.set((v.data as Uint16Array).subarray(from, from + DIM), at);
    }
  }

  /** The formula, each operation rounded by `round`. */
  attend(q: Float32Array, round: (x: number) => number): Float64Array {
    const scores = new Float64Array(this.#rows), out = new Float64Array(DIM);
    let most = -Infinity, sum = 0;
    for (let j = 0; j < this.#rows; j++) {
      let dot = 0;
      for (let d = 0; d < DIM; d++) {
        dot = round(dot + round(q[d]! * VALUES[this.#k[j * DIM + d]!]!));
      }
      scores[j] = round(dot / Math.sqrt(DIM));
      most = Math.max(most, scores[j]!);
    }
    for (let j = 0; j < this.#rows; j++) {
      const p = round(Math.exp(round(scores[j]! - most)));
      sum = round(sum + p);
      for (let d = 0; d < DIM; d++) {
        out[d] = round(out[d]! + round(p * VALUES[this.#v[j * DIM + d]!]!));
      }
    }
    return out.map((x) => round(x / sum));
  }
}

/** The largest error of the first head of a result. */
function errorOf(out: ArrayLike<number>, exact: Float64Array): number {
  return exact.reduce((most, x, d) => Math.max(most, Math.abs(x - out[d]!)), 0);
}

function largestDifference(a: HostTensor, b: HostTensor): number {
  let most = 0;
  for (let i = 0; i < a.data.length; i++) most = Math.max(most, Math.abs(a.data[i]! - b.data[i]!));
  return most;
}

/** Decodes at each of some lengths. */
export async function decode(
  lengths: readonly number[],
  steps: number,
  nodes: number,
  results: Results,
): Promise<void> {
  const most = lengths.at(-1)!;
  await using started = await startCluster(nodes, { deadline: 120_000 });
  const { cluster } = started,
    sizes = { sequences: 1, kvHeads: KV_HEADS, headDim: DIM, pageSize: 64 };
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const pages = Math.ceil(most / 64);
  const whole = engine.kvCache({ ...sizes, dtype: "f16", pages });
  await using cache = await cluster.kvCache({ ...sizes, dtype: "f16", pages: pages + 16 * nodes });
  const q: HostTensor = {
    data: Float32Array.from({ length: HEADS * DIM }, (_, i) => 2 * Math.sin(3.1 * i)),
    shape: [1, 1, HEADS, DIM],
  };
  let held = 0;
  const head = new FirstHead(most);
  for (const length of lengths) {
    const begin = performance.now(), before = held;
    for (; held < length; held += CHUNK) {
      const k = halves(CHUNK, 2 * held + 1), v = halves(CHUNK, 2 * held + 2);
      head.add(k, v);
      whole.append(k, v);
      await cache.append(k, v);
    }
    const seconds = (performance.now() - begin) / 1000;
    const want = await engine.attention(q, whole.keys, whole.values, { causal: true });
    const totals: number[] = [], slowest: number[] = [], over: number[] = [];
    const query = q.data as Float32Array, exact = head.attend(query, (x) => x);
    const plain = errorOf(head.attend(query, Math.fround), exact);
    let first: HostTensor | undefined, same = true, error = 0;
    for (let n = 0; n < steps; n++) {
      const { out, timing } = await cluster.attention(q, cache, { causal: true });
      const slow = Math.max(...timing.parts);
      first ??= out;
      same &&= `${first.data}` === `${out.data}`;
      error = Math.max(error, largestDifference(out, want.out));
      totals.push(timing.total);
      slowest.push(slow);
      over.push(timing.total / slow - 1);
    }
    const percent = (share: number) => (100 * share).toFixed(1);
    const { minMs, maxMs } = spread(totals),
      [least, middle, largest] = [
        Math.min(...over),
        median(over),
        Math.max(...over),
      ];
    results.add("cluster-decode", {
      ...{ keys: length, nodes, steps, ...spread(totals), slowestShardMs: median(slowest) },
      ...{ overheadMin: least, overheadMedian: middle, overheadMax: largest, sameBits: same },
      ...{ fromOneEngine: error, error: errorOf(first!.data, exact) },
      ...{ errorOneEngine: errorOf(want.out.data, exact), errorFormula: plain },
    });
    console.log(
      `${length} keys over ${nodes} nodes: ${median(totals).toFixed(1)} ms a step (${
        minMs.toFixed(1)
      } to ${maxMs.toFixed(1)}), slowest shard ${median(slowest).toFixed(1)} ms, ${
        percent(middle)
      } % beyond it (${percent(least)} to ${percent(largest)}); ${
        same ? "the same bits" : "OTHER BITS"
      } in ${steps} runs, ` +
        `at most ${
          error.toExponential(1)
        } from one engine. Error of the first head beside float64: ` +
        `${errorOf(first!.data, exact).toExponential(1)}; one engine ${
          errorOf(want.out.data, exact).toExponential(1)
        }; the plain formula in float32 ${plain.toExponential(1)}. Filled with ` +
        `${length - before} rows in ${seconds.toFixed(0)} s (both)`,
    );
  }
}
