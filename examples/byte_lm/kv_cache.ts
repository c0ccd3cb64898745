import type { HostTensor } from "../../mod.ts";
import { floats } from "./floats.ts";
import type { ModelShape } from "./parameters.ts";

/** Keys and values of the bytes read so far, with room for a whole context. */
export class KeyValueCache {
  readonly #shape: ModelShape;
  readonly #keys: Float32Array[];
  readonly #values: Float32Array[];
  /** Bytes read so far. */
  length = 0;

  constructor(shape: ModelShape) {
    const room = (): Float32Array =>
      new Float32Array(shape.context * shape.kvHeads * shape.headDim);
    this.#shape = shape;
    this.#keys = Array.from({ length: shape.layers }, room);
    this.#values = Array.from({ length: shape.layers }, room);
  }

  /**
   * Puts new keys and values of one layer behind those of the bytes read so far and returns all of
   * them. `length` grows only once every layer has its rows.
   */
  append(
    layer: number,
    k: HostTensor,
    v: HostTensor,
  ): { keys: HostTensor; values: HostTensor } {
    return {
      keys: this.#appendRows(this.#keys[layer]!, k),
      values: this.#appendRows(this.#values[layer]!, v),
    };
  }

  #appendRows(all: Float32Array, rows: HostTensor): HostTensor {
    const { kvHeads, headDim } = this.#shape;
    all.set(floats(rows), this.length * kvHeads * headDim);
    const total = this.length + rows.shape[1]!;
    return {
      data: all.subarray(0, total * kvHeads * headDim),
      shape: [1, total, kvHeads, headDim],
    };
  }
}
