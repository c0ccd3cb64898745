// Resident tensors of the WASM engine: blocks of linear memory, row-major.
import { BYTES, type DType, type StoredValues } from "../../tensor/dtype.ts";
import { ResidentTensor } from "../../tensor/resident.ts";
import { count } from "../../tensor/shape.ts";
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
    const n = count(this.shape), { pointer } = this;
    switch (this.dtype) {
      case "f32":
        return this.#memory.f32(pointer, n);
      case "i32":
        return this.#memory.i32(pointer, n);
      case "bool":
        return this.#memory.u8(pointer, n);
      default:
        return this.#memory.u16(pointer, n);
    }
  }

  protected override check(action: "read" | "write"): void {
    this.checkHeld(action, this.#memory.closed);
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
