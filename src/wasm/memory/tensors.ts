// Resident tensors of the WASM engine: blocks of linear memory, row-major.
import { BYTES, type DType } from "../../tensor/dtype.ts";
import { ResidentTensor, type StoredValues } from "../../tensor/resident.ts";
import { count } from "../../tensor/view.ts";
import type { LinearMemory } from "./linear_memory.ts";

/** A tensor in linear memory. */
export class WasmTensor extends ResidentTensor {
  readonly pointer: number;
  readonly #memory: LinearMemory;

  constructor(memory: LinearMemory, shape: readonly number[], dtype: DType) {
    super(shape, dtype);
    this.#memory = memory;
    this.pointer = memory.allocate(count(shape) * BYTES[dtype]);
  }

  /** Whether the tensor lives in this memory. */
  livesIn(memory: LinearMemory): boolean {
    return this.#memory === memory;
  }

  /** The values where they are, also of a tensor that was disposed of but is held. */
  view(): StoredValues {
    const n = count(this.shape);
    if (this.dtype === "f32") return this.#memory.f32(this.pointer, n);
    return this.dtype === "i32"
      ? this.#memory.i32(this.pointer, n)
      : this.#memory.u16(this.pointer, n);
  }

  protected override check(action: "read" | "write"): void {
    if (this.disposed) throw new TypeError(`Cannot ${action} a tensor: it was disposed`);
  }

  protected override put(values: StoredValues, at: number): void {
    this.view().set(values, at);
  }

  protected override get(): Promise<StoredValues> {
    return Promise.resolve(this.view().slice());
  }

  protected override free(): void {
    this.#memory.free(this.pointer);
  }
}
