/** A cache of a cluster beside the same rows in one engine: whatever happens to nodes, both must say the same. */

import assert from "node:assert/strict";
import { createEngine, type Engine, type HostTensor, type KvCache } from "@flashtile/attention";
import type { Cluster, ClusterCache, ClusterCacheOptions } from "@flashtile/attention/cluster";
import { randomNumbers } from "../random.ts";

const KV_HEADS = 2, HEADS = 4, DIM = 16;

/** Both caches. */
export class Twin implements AsyncDisposable {
  readonly cache: ClusterCache;
  readonly #cluster: Cluster;
  readonly #engine: Engine;
  readonly #whole: KvCache;
  readonly #random: () => number;
  readonly #allowed: number;

  private constructor(
    cluster: Cluster,
    cache: ClusterCache,
    engine: Engine,
    whole: KvCache,
    seed: number,
    dtype: string | undefined,
  ) {
    this.#cluster = cluster;
    this.cache = cache;
    this.#engine = engine;
    this.#whole = whole;
    this.#random = randomNumbers(seed);
    // a part of a byte cache rounds its weights to 15 bits by itself
    this.#allowed = dtype === "i8" ? 1e-3 : 1e-5;
  }

  static async open(
    cluster: Cluster,
    options: Partial<ClusterCacheOptions> = {},
    seed = 1,
  ): Promise<Twin> {
    const sizes = { sequences: 3, kvHeads: KV_HEADS, headDim: DIM, pageSize: 8 };
    const cache = await cluster.kvCache({ ...sizes, pages: 900, stripe: 8, ...options });
    const engine = await createEngine({ backend: "wasm", threads: 1 });
    const whole = engine.kvCache({ ...sizes, pages: 900, dtype: options.dtype });
    return new Twin(cluster, cache, engine, whole, seed, options.dtype);
  }

  #rows(batch: number, n: number, heads: number): HostTensor {
    const data = Float32Array.from(
      { length: batch * n * heads * DIM },
      () => 2 * this.#random() - 1,
    );
    return { data, shape: [batch, n, heads, DIM] };
  }

  /** Adds rows to both; to the engine once the cluster has them. */
  async append(sequences: readonly number[], n: number): Promise<void> {
    const k = this.#rows(sequences.length, n, KV_HEADS),
      v = this.#rows(sequences.length, n, KV_HEADS);
    await this.cache.append(k, v, { sequences });
    this.#whole.append(k, v, { sequences });
  }

  /** Asks both. Throws where they differ. */
  async check(sequences: readonly number[], n = 1): Promise<void> {
    const q = this.#rows(sequences.length, n, HEADS), options = { causal: true, sequences };
    const [{ out, lse }, want] = await Promise.all([
      this.#cluster.attention(q, this.cache, options),
      this.#engine.attention(q, this.#whole.keys, this.#whole.values, options),
    ]);
    for (const [got, wanted] of [[out, want.out], [lse, want.lse]] as const) {
      assert.equal(got.data.length, wanted.data.length);
      for (let i = 0; i < got.data.length; i++) {
        const x = got.data[i]!, y = wanted.data[i]!;
        const near = x === y || Math.abs(x - y) < this.#allowed;
        assert.ok(near, `element ${i}: ${x} but ${y} was wanted`);
      }
    }
  }

  /** One row more of each sequence, and a query. */
  async step(sequences: readonly number[] = [0, 1, 2]): Promise<void> {
    await this.append(sequences, 1);
    await this.check(sequences);
  }

  async truncate(sequence: number, length: number): Promise<void> {
    await this.cache.truncate(sequence, length);
    this.#whole.truncate(sequence, length);
  }

  /** Forks in both; the numbers, or what both refuse with, must be the same. */
  async fork(sequence: number): Promise<number> {
    const [got, want] = await Promise.allSettled([
      this.cache.fork(sequence),
      this.#whole.fork(sequence),
    ]);
    assert.deepEqual(got, want);
    if (got.status === "rejected") throw got.reason;
    return got.value;
  }

  get lengths(): readonly number[] {
    return [...this.#whole.lengths];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cache.dispose();
    this.#engine.dispose();
  }
}
