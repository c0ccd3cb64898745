// Resident tensors of the WASM engine: blocks of linear memory, row-major.
import { bits, BYTES, canHold, type DType, type TensorData } from "../../tensor/dtype.ts";
import { Complaint, show } from "../../tensor/errors.ts";
import { count } from "../../tensor/view.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { LinearMemory } from "./linear_memory.ts";

/** A tensor in linear memory. */
export class WasmTensor implements Tensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly pointer: number;
  readonly #memory: LinearMemory;
  #disposed = false;

  constructor(memory: LinearMemory, shape: readonly number[], dtype: DType) {
    this.shape = [...shape];
    this.dtype = dtype;
    this.#memory = memory;
    this.pointer = memory.allocate(count(shape) * BYTES[dtype]);
  }

  /** Whether the tensor lives in this memory. */
  livesIn(memory: LinearMemory): boolean {
    return this.#memory === memory;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** The values where they are. */
  view(): Float32Array | Uint16Array {
    if (this.#disposed) throw new TypeError("Cannot read a tensor: it was disposed");
    const n = count(this.shape);
    return this.dtype === "f32"
      ? this.#memory.f32(this.pointer, n)
      : this.#memory.u16(this.pointer, n);
  }

  write(data: TensorData, at = 0): void {
    const complaint = new Complaint("write"), n = count(this.shape), target = this.view();
    if (!ArrayBuffer.isView(data) || !canHold(data, this.dtype)) {
      throw complaint.type(`data is ${show(data)} but the tensor has dtype ${show(this.dtype)}`);
    }
    if (!(Number.isSafeInteger(at) && at >= 0 && at + data.length <= n)) {
      throw complaint.range(
        `at is ${show(at)} with ${data.length} elements but the tensor has ${n}`,
      );
    }
    target.set(bits(data), at);
  }

  // deno-lint-ignore require-await -- the contract is a promise; reading a disposed tensor rejects
  async read(): Promise<Float32Array | Uint16Array> {
    return this.view().slice();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#memory.free(this.pointer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
