/** What calls with ALiBi and sinks must give: the formulas in float64, written out pair by pair. */

import type { CallOptions } from "../../src/problem/call_options.ts";
import { type Call, type Problem, values } from "./alibi_sink.ts";

/** Results by name. */
export type Arrays = Record<string, Float64Array>;

/** Results and gradients by the definition. */
export class Reference {
  readonly want: Arrays;
  /** Sums of the magnitudes that were added up: what errors are compared with. */
  readonly size: Arrays;
  readonly #p: Problem;
  readonly #options: CallOptions;
  readonly #inputs: Readonly<Record<"q" | "k" | "v" | "dOut" | "dLse", ArrayLike<number>>>;
  readonly #slopes: ArrayLike<number> | undefined;
  readonly #sinks: ArrayLike<number> | undefined;
  readonly #biases: ArrayLike<number> | undefined;

  constructor(p: Problem, { q, k, v, dOut, dLse, options }: Call) {
    this.#p = p;
    this.#options = options;
    this.#inputs = {
      ...{ q: values(q)!, k: values(k)!, v: values(v)! },
      ...{ dOut: values(dOut)!, dLse: values(dLse)! },
    };
    this.#slopes = values(options.alibiSlopes);
    this.#sinks = values(options.sink);
    this.#biases = values(options.bias);
    this.want = this.#make();
    this.size = this.#make();
    for (let b = 0; b < p.batch; b++) {
      for (let h = 0; h < p.queryHeads; h++) {
        for (let i = 0; i < p.lengthQ; i++) this.#row(b, h, i);
      }
    }
  }

  #make(): Arrays {
    const { q, k, v, dOut, dLse } = this.#inputs;
    const like = { out: dOut, lse: dLse, dq: q, dk: k, dv: v };
    const sums = { dBias: this.#biases, dAlibiSlopes: this.#slopes, dSink: this.#sinks };
    const all = Object.entries({ ...like, ...sums }).filter(([, input]) => input !== undefined);
    return Object.fromEntries(all.map(([name, x]) => [name, new Float64Array(x!.length)]));
  }

  #add(name: string, at: number, x: number, magnitude: number = Math.abs(x)): void {
    this.want[name][at] += x;
    this.size[name][at] += magnitude;
  }

  /** The diagonal of query i, and whether it sees key j. */
  #visible(b: number, i: number): { d: number; sees: (j: number) => boolean } {
    const { lengthQ, lengthK, keyLengths } = this.#p, { causal, window, mask } = this.#options;
    const keys = keyLengths?.[b] ?? lengthK;
    const offset = typeof causal === "object"
      ? causal.offset as number
      : causal === "top-left"
      ? 0
      : keys - lengthQ;
    const d = i + offset, { left = Infinity, right = Infinity } = window ?? {};
    const sees = (j: number) =>
      j < keys && !(causal && j > d) && j >= d - left && j <= d + right &&
      !(mask && !mask.data[i * lengthK + j]);
    return { d, sees };
  }

  /** Index of an element for head h and, with a slope for each sequence, sequence b. */
  #slopeAt(b: number, h: number): number {
    const { queryHeads } = this.#p;
    return this.#slopes!.length > queryHeads ? b * queryHeads + h : h;
  }

  #row(b: number, h: number, i: number): void {
    const { queryHeads, kvHeads, lengthQ, lengthK, headDim } = this.#p, { softcap } = this.#options;
    const { q, k } = this.#inputs, { d, sees } = this.#visible(b, i);
    const pairs: { s: number; slope: number; j: number; key: number }[] = [];
    const query = (b * lengthQ + i) * queryHeads + h;
    for (let j = 0; j < lengthK; j++) {
      if (!sees(j)) continue;
      const key = (b * lengthK + j) * kvHeads + Math.floor(h / (queryHeads / kvHeads));
      let s = 0, slope = 1;
      for (let x = 0; x < headDim; x++) s += q[query * headDim + x] * k[key * headDim + x];
      s /= Math.sqrt(headDim);
      if (softcap) {
        slope = 1 - Math.tanh(s / softcap) ** 2;
        s = softcap * Math.tanh(s / softcap);
      }
      if (this.#slopes) s -= this.#slopes[this.#slopeAt(b, h)] * Math.abs(d - j);
      if (this.#biases) s += this.#biases[(h * lengthQ + i) * lengthK + j];
      pairs.push({ s, slope, j, key });
    }
    const logit = this.#sinks ? this.#sinks[h] : -Infinity;
    const m = pairs.reduce((most, { s }) => Math.max(most, s), logit);
    const l = pairs.reduce((sum, { s }) => sum + Math.exp(s - m), Math.exp(logit - m));
    const lse = m === -Infinity ? -Infinity : m + Math.log(l),
      row = (b * queryHeads + h) * lengthQ + i;
    this.want.lse[row] = lse;
    const weighed = pairs.map((pair) => ({ ...pair, p: Math.exp(pair.s - lse) }));
    const { delta, most } = this.#output(weighed, query, row);
    if (logit > -Infinity) {
      this.#add("dSink", h, -Math.exp(logit - lse) * delta, Math.exp(logit - lse) * most);
    }
    for (const pair of weighed) {
      const { ds, size } = this.#gradients(pair, query, delta, most),
        distance = Math.abs(d - pair.j);
      if (this.#biases) this.#add("dBias", (h * lengthQ + i) * lengthK + pair.j, ds, size);
      if (!this.#slopes) continue;
      this.#add("dAlibiSlopes", this.#slopeAt(b, h), -ds * distance, size * distance);
    }
  }

  /** Adds a row of out; returns its delta and the magnitude of that. */
  #output(
    pairs: readonly { p: number; key: number }[],
    query: number,
    row: number,
  ): { delta: number; most: number } {
    const { valueDim } = this.#p, { v, dOut, dLse } = this.#inputs;
    let delta = -dLse[row], most = Math.abs(dLse[row]);
    for (const { p, key } of pairs) {
      for (let x = 0; x < valueDim; x++) {
        const y = p * v[key * valueDim + x], g = dOut[query * valueDim + x];
        this.#add("out", query * valueDim + x, y);
        delta += y * g;
        most += Math.abs(y * g);
      }
    }
    return { delta, most };
  }

  /** Adds what a pair gives to dq, dk and dv; returns its dS after all features, and the magnitude of that. */
  #gradients(
    { p, slope, key }: { p: number; slope: number; key: number },
    query: number,
    delta: number,
    most: number,
  ): { ds: number; size: number } {
    const { headDim, valueDim } = this.#p, { q, k, v, dOut } = this.#inputs;
    let dp = 0, size = most;
    for (let x = 0; x < valueDim; x++) {
      const g = dOut[query * valueDim + x], y = g * v[key * valueDim + x];
      dp += y;
      size += Math.abs(y);
      this.#add("dv", key * valueDim + x, p * g);
    }
    const ds = p * (dp - delta), scale = 1 / Math.sqrt(headDim);
    size *= p;
    for (let x = 0; x < headDim; x++) {
      const [byQ, byK] = [k[key * headDim + x], q[query * headDim + x]];
      this.#add("dq", query * headDim + x, ds * slope * scale * byQ, size * scale * Math.abs(byQ));
      this.#add("dk", key * headDim + x, ds * slope * scale * byK, size * scale * Math.abs(byK));
    }
    return { ds, size };
  }
}
