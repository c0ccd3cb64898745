// Rows of a cache in linear memory.
import { Store } from "../../../asm/abi.ts";
import type { RowPool } from "../../backend/backend.ts";
import { copyBox } from "../../tensor/copy.ts";
import type { DType } from "../../tensor/dtype.ts";
import { pageBytes, type PoolShape, poolStrides } from "../../tensor/pages.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { rowMajor } from "../../tensor/shape.ts";
import { elementBytes, type View } from "../../tensor/view.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import type { KernelExports } from "../module/module.ts";
import { elements } from "./results.ts";
import type { LinearMemory } from "./linear_memory.ts";
import { WasmTensor } from "./tensors.ts";

/** Rows that are brought in: where they begin, and bytes from one to the next. */
interface Rows {
  readonly pointer: number;
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

/** Pages in linear memory. */
export class WasmRowPool implements RowPool {
  readonly tensor: WasmTensor;
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #shape: PoolShape;
  readonly #pageBytes: number;

  constructor(memory: LinearMemory, kernels: KernelExports, shape: PoolShape) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#shape = shape;
    this.#pageBytes = pageBytes(shape);
    // kernels read eight bytes at a time, past the last row
    this.tensor = new WasmTensor(memory, [shape.pages * this.#pageBytes / 4 + 2], "f32");
  }

  /** Where the rows of a source lie; host rows are copied to `room`. */
  #source(view: View, room: number, rows: number): Rows {
    const bytes = elementBytes(view), { tensor, strides, offset, size } = view;
    if (tensor instanceof WasmTensor) {
      const [batch, head, row] = [strides[0] * bytes, strides[1] * bytes, strides[2] * bytes];
      return { pointer: tensor.pointer + offset * bytes, batch, head, row };
    }
    const [batches, heads, , columns] = size, n = batches * rows * heads * columns;
    const [batch, row, head] = rowMajor([batches, rows, heads, columns]) as [
      number,
      number,
      number,
    ];
    const array = bytes === 4 ? this.#memory.f32(room, n) : this.#memory.u16(room, n);
    copyBox(
      { array, offset: 0, strides: [batch, head, row, 1] },
      { array: elements(tensor as never), offset, strides },
      [batches, heads, rows, columns],
    );
    return { pointer: room, batch: batch * bytes, head: head * bytes, row: row * bytes };
  }

  store(view: View, places: Int32Array): void {
    const [batches, heads, , columns] = view.size, rows = places.length / batches;
    const host = view.tensor instanceof WasmTensor ? 0 : places.length * heads * columns;
    const record = Store.Bytes, scratch = record + 4 * places.length;
    const room = Math.ceil((scratch + 4 * columns) / 16) * 16;
    const block = this.#memory.allocate(room + host * elementBytes(view) + 16);
    try {
      const source = this.#source(view, block + room, rows);
      this.#memory.i32(block + record, places.length).set(places);
      const { dtype, rows: pageRows } = this.#shape, strides = poolStrides(this.#shape);
      const [page, head, row] = strides.map((stride) => stride * BYTES[dtype]);
      const words = this.#memory.u32(block, Store.Bytes / 4);
      const set = (field: Store, value: number) => words[field / 4] = value;
      set(Store.SourceRow, source.row);
      set(Store.SourceHead, source.head);
      set(Store.SourceDtype, DTYPE_CODES[view.dtype as DType]!);
      set(Store.Rows, rows);
      set(Store.Heads, heads);
      set(Store.Columns, columns);
      set(Store.PageRows, pageRows);
      set(Store.Target, this.tensor.pointer);
      set(Store.TargetPage, page!);
      set(Store.TargetHead, head!);
      set(Store.TargetRow, row!);
      set(Store.TargetDtype, DTYPE_CODES[dtype]!);
      set(Store.Scratch, block + scratch);
      for (let b = 0; b < batches; b++) {
        set(Store.Source, source.pointer + b * source.batch);
        set(Store.Places, block + record + 4 * b * rows);
        this.#kernels.storeRows(block);
      }
    } finally {
      this.#memory.free(block);
    }
  }

  #page(page: number): Uint8Array {
    return this.#memory.u8(this.tensor.pointer + page * this.#pageBytes, this.#pageBytes);
  }

  copyPage(from: number, to: number): void {
    this.#page(to).set(this.#page(from));
  }

  readPages(pages: readonly number[]): Promise<Uint8Array[]> {
    return Promise.resolve(pages.map((page) => this.#page(page).slice()));
  }

  writePage(page: number, bytes: Uint8Array): void {
    this.#page(page).set(bytes);
  }
}
