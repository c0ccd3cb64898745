/** A text that the model has read: queries and keys of each head, and what is asked of them. Nothing is length². */
import {
  attention,
  attentionColumnSums,
  attentionScores,
  attentionTopKeys,
  type Engine,
  type HostTensor,
} from "@flashtile/attention";
import { floats } from "../../../byte_lm/floats.ts";
import type { ByteModel, LayerOperands } from "../../../byte_lm/model.ts";
import type { Characters, Range } from "./characters.ts";

/** Longest text that the panel reads, in bytes. */
export const LONGEST = 16384;

/** One head of one layer, after it has read the text. */
export interface Head {
  readonly length: number;
  /** f32 `[1, length, 1, headDim]`, positions included. */
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly lse: HostTensor;
  /** Of each query, in nats: 0 where one key has all, ln of the number of keys where all have the same. */
  readonly entropy: Float32Array;
  /** What each key received from all queries together. */
  readonly received: Float32Array;
}

/** What a character looks at. */
export interface Attended {
  readonly character: number;
  /** Share of its attention, 0 to 1. */
  readonly share: number;
}

/** A text, read once; heads are prepared when they are asked for. */
export class Reading {
  readonly length: number;
  readonly #layers: readonly LayerOperands[];
  readonly #engine: Engine;
  readonly #heads = new Map<string, Promise<Head>>();

  private constructor(layers: readonly LayerOperands[], length: number, engine: Engine) {
    this.#layers = layers;
    this.length = length;
    this.#engine = engine;
  }

  /** Reads a text with a model whose context is at least as long. */
  static async of(model: ByteModel, bytes: Uint8Array, engine: Engine): Promise<Reading> {
    return new Reading(await model.operands(bytes), bytes.length, engine);
  }

  /** One head; made once. */
  head(layer: number, head: number): Promise<Head> {
    const name = `${layer}.${head}`;
    const made = this.#heads.get(name) ??
      this.#makeHead(this.#layers[layer]!, head);
    this.#heads.set(name, made);
    return made;
  }

  async #makeHead({ q, k }: LayerOperands, head: number): Promise<Head> {
    const heads = q.shape[2]!, kvHeads = k.shape[2]!;
    const own = oneHead(q, head), keys = oneHead(k, Math.floor(head / (heads / kvHeads)));
    const options = { causal: true, engine: this.#engine } as const;
    // values are not looked at: the keys stand in for them
    const asked = { ...options, stats: ["entropy"] as const };
    const { lse, stats } = await attention(own, keys, keys, asked);
    const received = await attentionColumnSums(own, keys, lse, options);
    return {
      ...{ length: this.length, q: own, k: keys, lse },
      entropy: floats(stats!.entropy!),
      received: floats(received),
    };
  }

  /** What a character looks at: a share of each character, and the `count` largest, which come first. */
  async attended(
    { q, k, lse, length }: Head,
    characters: Characters,
    character: number,
    count: number,
  ): Promise<{ strongest: Attended[]; shares: Float32Array }> {
    const [first, end] = characters.bytesOf(character), rows: [number, number] = [first, end];
    const options = { causal: true, rows, engine: this.#engine } as const;
    const [top, row] = await Promise.all([
      // several of the largest may be bytes of one character
      attentionTopKeys(q, k, lse, { ...options, count: Math.min(length, 4 * count) }),
      attentionScores(q, k, { ...options, stage: "probabilities", lse, keys: [0, end] }),
    ]);
    const shares = new Float32Array(characters.count), each = 1 / (end - first);
    floats(row).forEach((share, n) => shares[characters.ofByte[n % end]!]! += share * each);
    const found = new Set<number>();
    for (const key of top.keys.data as Int32Array) {
      if (key >= 0) found.add(characters.ofByte[key]!);
    }
    const strongest = [...found].map((character) => ({ character, share: shares[character]! }))
      .sort((a, b) => b.share - a.share).slice(0, count);
    return { strongest, shares };
  }
}

/** The rows of one head of `[1, length, heads, headDim]`. */
function oneHead({ data, shape }: HostTensor, head: number): HostTensor {
  const [, length, heads, headDim] = shape as [number, number, number, number];
  const own = new Float32Array(length * headDim);
  for (let row = 0; row < length; row++) {
    const from = (row * heads + head) * headDim;
    own.set((data as Float32Array).subarray(from, from + headDim), row * headDim);
  }
  return { data: own, shape: [1, length, 1, headDim] };
}

/** A rectangle of pairs. */
export interface Rectangle {
  readonly rows: Range;
  readonly keys: Range;
}
