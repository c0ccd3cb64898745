// Temporary: what engine.kvCache will be, over resident tensors.
import type { Engine, HostTensor, Tensor } from "../../mod.ts";

type Options = {
  sequences: number;
  kvHeads: number;
  headDim: number;
  dtype: string;
  capacity?: number;
  pageSize?: number;
  pages?: number;
};

export class LayerCache {
  readonly keys: Tensor;
  readonly values: Tensor;
  readonly lengths: Int32Array;
  readonly #row: number;
  readonly #capacity: number;
  readonly #pages: number;
  constructor(engine: Engine, { sequences, kvHeads, headDim, capacity, pageSize, pages }: Options) {
    this.#pages = pages ?? sequences;
    this.#row = kvHeads * headDim;
    this.#capacity = capacity ?? pageSize! * pages!;
    this.keys = engine.empty([sequences, this.#capacity, kvHeads, headDim]);
    this.values = engine.empty([sequences, this.#capacity, kvHeads, headDim]);
    this.lengths = new Int32Array(sequences);
  }
  get bytes(): number {
    return 2 * this.lengths.length * this.#capacity * this.#row * 4;
  }
  get freePages(): number {
    return this.lengths.some((n) => n > 0) ? 0 : this.#pages;
  }
  length(s: number): number {
    return this.lengths[s]!;
  }
  truncate(s: number, length: number): void {
    this.lengths[s] = length;
  }
  free(s: number): void {
    this.lengths[s] = 0;
  }
  async fork(s: number): Promise<number> {
    const made = this.lengths.indexOf(0);
    const size = this.lengths[s]! * this.#row, from = s * this.#capacity * this.#row;
    for (const tensor of [this.keys, this.values]) {
      const all = await tensor.read() as Float32Array;
      tensor.write({
        data: all.slice(from, from + size),
        shape: [1, this.lengths[s]!, ...tensor.shape.slice(-2)],
      }, [made, 0]);
    }
    this.lengths[made] = this.lengths[s]!;
    return made;
  }
  append(
    k: HostTensor,
    v: HostTensor,
    { sequences, cuSeqlens }: { sequences: Int32Array; cuSeqlens?: Int32Array },
  ): Promise<void> {
    const rows = k.shape[k.shape.length - 3]!;
    sequences.forEach((s, i) => {
      const from = cuSeqlens?.[i] ?? i * rows, to = cuSeqlens?.[i + 1] ?? (i + 1) * rows;
      if (this.lengths[s]! + to - from > this.#capacity) {
        throw new RangeError("Cannot append: full");
      }
      for (const [tensor, { data }] of [[this.keys, k], [this.values, v]] as const) {
        const floats = data as Float32Array;
        tensor.write({
          data: floats.slice(from * this.#row, to * this.#row),
          shape: [1, to - from, ...k.shape.slice(-2)],
        }, [s, this.lengths[s]!]);
      }
      this.lengths[s]! += to - from;
    });
    return Promise.resolve();
  }
  dispose(): void {
    this.keys.dispose();
    this.values.dispose();
  }
}

export async function attend(
  engine: Engine,
  q: HostTensor,
  cache: LayerCache,
  { sequences, cuSeqlensQ }: { sequences: Int32Array; cuSeqlensQ?: Int32Array },
): Promise<{ out: HostTensor }> {
  const [heads, dim] = q.shape.slice(-2) as [number, number];
  const rows = q.shape.length === 4 ? q.shape[1]! : 0;
  const order = [...sequences.keys()].sort((a, b) => sequences[a]! - sequences[b]!);
  const all = cache.lengths.length, starts = new Int32Array(all + 1);
  const begin = (i: number) => cuSeqlensQ?.[i] ?? i * rows;
  for (const i of order) starts[sequences[i]! + 1] = begin(i + 1) - begin(i);
  for (let s = 0; s < all; s++) starts[s + 1]! += starts[s]!;
  const data = new Float32Array(q.data.length), row = heads * dim;
  for (const i of order) {
    data.set(
      (q.data as Float32Array).subarray(begin(i) * row, begin(i + 1) * row),
      starts[sequences[i]!]! * row,
    );
  }
  const { out } = await engine.attention(
    { data, shape: [starts[all]!, heads, dim] } as HostTensor,
    cache.keys,
    cache.values,
    { causal: true, cuSeqlensQ: starts, keyLengths: cache.lengths },
  );
  const back = new Float32Array(data.length);
  for (const i of order) {
    const from = starts[sequences[i]!]! * row;
    back.set(
      (out.data as Float32Array).subarray(from, from + (begin(i + 1) - begin(i)) * row),
      begin(i) * row,
    );
  }
  return { out: { data: back, shape: q.shape } };
}
