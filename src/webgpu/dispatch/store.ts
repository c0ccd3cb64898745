// Rows of a cache in a GPU buffer: what is stored and copied is submitted at once, in the order in which it is asked for.
import { STORE_ROW, STORE_THREADS, storeShader } from "../../../shaders/kernels/store.ts";
import { kindName, type StorageKind } from "../../../shaders/parts/storage.ts";
import type { RowPool } from "../../backend/backend.ts";
import { DeviceLostError } from "../../tensor/errors.ts";
import { pageBytes, type PoolShape, poolStrides } from "../../tensor/pages.ts";
import type { View } from "../../tensor/view.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { Pipelines } from "../device/pipelines.ts";
import { Scratch } from "../device/scratch.ts";
import { throughStaging } from "../device/staging.ts";
import { GpuTensor, type Home, upload } from "../device/tensors.ts";
import { address, bound, type Step, wholeBuffer } from "./dispatch.ts";
import { ranges } from "./ranges.ts";
import { Recording } from "./submit.ts";
import { type BufferView, InputViews, storageKind } from "./views.ts";

/** Some sequences, heads and rows of a source. */
interface StoredPart {
  readonly batches: number;
  readonly heads: number;
  readonly columns: number;
  readonly firstHead: number;
  readonly source: BufferView;
  readonly kind: StorageKind;
}

/** Pages in a buffer. */
export class GpuRowPool implements RowPool {
  readonly tensor: GpuTensor;
  readonly #home: Home;
  readonly #pipelines: Pipelines;
  readonly #shape: PoolShape;
  readonly #pageBytes: number;

  /** Throws where a kernel could not see the whole of it. */
  constructor(home: Home, pipelines: Pipelines, shape: PoolShape) {
    this.#home = home;
    this.#pipelines = pipelines;
    this.#shape = shape;
    this.#pageBytes = pageBytes(shape);
    const bytes = shape.pages * this.#pageBytes, most = home.open.target.limits.storageBinding;
    if (bytes > most) {
      throw new RangeError(
        `Cannot run kvCache: its keys or values would have ${bytes} bytes but the GPU binds at most ${most}; ` +
          "make several caches, or one with fewer rows or a smaller dtype",
      );
    }
    this.tensor = new GpuTensor(home, [bytes / 4], "f32");
  }

  #alive(action: string): void {
    const { lost } = this.#home.open;
    if (lost) throw new DeviceLostError(`Cannot run ${action}`, lost);
    this.#home.open.throwError();
  }

  /** Stores the rows of a part of a source, which can be bound. */
  #step(part: StoredPart, places: Int32Array, take: (bytes: number) => GpuBuffer): Step {
    const { batches, heads, columns, source, kind, firstHead } = part, { dtype } = this.#shape;
    const schedule = take(places.byteLength);
    this.#home.open.device.queue.writeBuffer(schedule, 0, places);
    const [page, head, row] = poolStrides(this.#shape);
    const threads = places.length * heads * Math.ceil(columns / 4);
    const groups = Math.ceil(threads / STORE_THREADS);
    return {
      kernel: {
        key: `store ${kindName(kind)} as ${dtype}`,
        code: () => storeShader(kind, dtype as StorageKind["dtype"]),
      },
      bindings: {
        schedule: wholeBuffer(schedule, places.byteLength),
        k: bound(source),
        result: wholeBuffer(this.tensor.buffer, this.tensor.byteLength),
      },
      params: {
        ...{ count: places.length, length_k: places.length / batches, kv_heads: heads },
        ...{ head_dim: columns, page_rows: this.#shape.rows },
        ...address("k", source),
        ...{ v_at: firstHead * head, v_batch: page, v_head: head, v_row: row },
      },
      x: Math.min(groups, STORE_ROW),
      y: Math.ceil(groups / STORE_ROW),
      z: 1,
      flops: threads * 4,
    };
  }

  /** Stores a source: in parts, where it is more than can be bound. */
  #steps(view: View, places: Int32Array, take: (bytes: number) => GpuBuffer): Step[] {
    const { size: [batch, heads, , columns], strides } = view, length = places.length / batch;
    const inputs = new InputViews(this.#home, 1, take), kind = storageKind(view);
    return ranges({ batch, heads, length, valueDim: columns }, strides, this.#home, "append")
      .map((region) => {
        const { batchBegin, batchEnd, kvHeadBegin, kvHeadEnd, rowBegin, rowEnd } = region;
        const batches = batchEnd - batchBegin, rows = rowEnd - rowBegin;
        const own = new Int32Array(batches * rows);
        for (let b = 0; b < batches; b++) {
          const begin = (batchBegin + b) * length;
          own.set(places.subarray(begin + rowBegin, begin + rowEnd), b * rows);
        }
        const source = inputs.of(view, { ...region, keyBegin: rowBegin, keyEnd: rowEnd });
        const part = { batches, heads: kvHeadEnd - kvHeadBegin, columns, firstHead: kvHeadBegin };
        return this.#step({ ...part, source, kind }, own, take);
      });
  }

  store(view: View, places: Int32Array): void {
    this.#alive("append");
    const { open, memory } = this.#home, scratch = new Scratch(memory);
    const take = (bytes: number) => scratch.take(bytes);
    try {
      const steps = this.#steps(view, places, take);
      const recording = new Recording(open, this.#pipelines, steps, take);
      // what the device says of it is heard by the next call that can wait
      open.checked("Cannot run append", () => {
        const encoder = open.device.createCommandEncoder(), pass = encoder.beginComputePass();
        recording.recordInto(pass, "Cannot run append");
        pass.end();
        open.device.queue.submit([encoder.finish()]);
      });
    } finally {
      scratch.give();
    }
  }

  copyPage(from: number, to: number): void {
    this.#alive("append");
    const { device } = this.#home.open,
      bytes = this.#pageBytes,
      between = this.#home.memory.take(bytes);
    const encoder = device.createCommandEncoder(); // a buffer may not be copied onto itself
    encoder.copyBufferToBuffer(this.tensor.buffer, from * bytes, between, 0, bytes);
    encoder.copyBufferToBuffer(between, 0, this.tensor.buffer, to * bytes, bytes);
    device.queue.submit([encoder.finish()]);
    this.#home.memory.give(between);
  }

  async readPages(pages: readonly number[]): Promise<Uint8Array[]> {
    this.#alive("export");
    if (pages.length === 0) return [];
    const bytes = this.#pageBytes;
    const all = await throughStaging(
      this.#home,
      [pages.length * bytes],
      "Cannot run export",
      (encoder, [staging]) =>
        pages.forEach((page, n) =>
          encoder.copyBufferToBuffer(this.tensor.buffer, page * bytes, staging!, n * bytes, bytes)
        ),
      ([range]) => new Uint8Array(range!, 0, pages.length * bytes).slice(),
    );
    return pages.map((_, n) => all.subarray(n * bytes, (n + 1) * bytes));
  }

  writePage(page: number, bytes: Uint8Array): void {
    this.#alive("import");
    upload(this.#home, this.tensor.buffer, page * this.#pageBytes, bytes);
  }
}
