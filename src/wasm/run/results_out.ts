// Taking results out of linear memory, to where the caller wants them.
import type { PlannedRegion } from "../../plan/wasm/plan.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { OperandName } from "../../tensor/operands.ts";
import { count, extentOf, rowMajor } from "../../tensor/shape.ts";
import { type Axes, placeOf } from "../../tensor/view.ts";
import { addInPieces, copyInPieces, inPieces, type Pieces } from "../memory/pieces.ts";
import type { Heap } from "../memory/arena.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import { elements, type ResultView } from "../memory/results.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import type { KernelExports } from "../module/module.ts";
import { sideOf, SLACK } from "./boxes.ts";
import { STAGED, type Staged } from "./staged_operands.ts";
import { Sums } from "./sums.ts";

/** Elements of a sum that are narrowed at a time. */
export const SUM_PIECE: number = 2 ** 14;

/** What takes out the results of one call. */
export class ResultsOut {
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #heap: Heap;
  readonly #results: readonly ResultView[];
  readonly #sums: Sums;
  /** Sums over chunks of keys, of results that are no f32. */
  readonly #chunks = new Map<OperandName, Float32Array>();

  constructor(
    memory: LinearMemory,
    kernels: KernelExports,
    heap: Heap,
    results: readonly ResultView[],
  ) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#heap = heap;
    this.#results = results;
    this.#sums = new Sums(results);
  }

  /** Takes out what a region left in a box. */
  *take(box: Staged, result: ResultView, region: PlannedRegion): Pieces {
    const side = () => sideOf(this.#memory, box);
    if (STAGED[box.name].summed) {
      yield* this.#sums.add(result, { ...box, values: () => side().array });
    } else if (STAGED[box.name].follows === "queries" && !(region.lastKeys && !region.moreKeys)) {
      yield* this.#addChunk(box, result, region);
    } else yield* this.#takeOut(box, result);
  }

  /** Adds what a chunk of keys gave to its queries. */
  *#addChunk(box: Staged, result: ResultView, { moreKeys, lastKeys }: PlannedRegion): Pieces {
    const side = () => sideOf(this.#memory, box), { size } = box, wide = result.dtype === "f32";
    const strides = wide ? result.strides : rowMajor(result.size) as unknown as Axes;
    let sums = this.#chunks.get(box.name);
    if (!wide && !sums) this.#chunks.set(box.name, sums = new Float32Array(count(result.size)));
    const target = () => ({
      array: sums ?? elements(result.tensor),
      offset: placeOf(box.begin, strides),
      strides,
    });
    yield* (moreKeys ? addInPieces : copyInPieces)(target, side, size);
    if (wide || !lastKeys) return;
    yield* copyInPieces(side, target, size);
    yield* this.#takeOut(box, result);
  }

  *#takeOut(box: Staged, result: ResultView): Pieces {
    let source = box;
    if (result.dtype === "f16" || result.dtype === "bf16") {
      const n = extentOf(box.size, box.strides), pointer = this.#heap.allocate(n * 2 + SLACK);
      const code = DTYPE_CODES[result.dtype]!;
      yield* inPieces(n, (begin, end) => {
        this.#kernels.narrow(box.pointer + begin * 4, pointer + begin * 2, end - begin, code);
      });
      source = { ...box, pointer, elementBytes: 2 };
    }
    const offset = placeOf(box.begin, result.strides);
    const target = () => ({ array: elements(result.tensor), offset, strides: result.strides });
    yield* copyInPieces(target, () => sideOf(this.#memory, source), box.size);
    if (source !== box) this.#heap.free(source.pointer);
  }

  /** Writes what only the whole call knows: sums over regions. */
  *finish(): Pieces {
    if (this.#sums.none) return;
    for (const { name, dtype, tensor } of this.#results) {
      const sums = this.#sums.of(name);
      if (!sums) continue;
      if (dtype === "f32") {
        yield* inPieces(
          sums.length,
          (begin, end) => elements(tensor).set(sums.subarray(begin, end), begin),
        );
      } else yield* this.#narrowSums(sums, dtype as DType, tensor);
    }
  }

  *#narrowSums(
    sums: Float32Array | Float64Array,
    dtype: DType,
    tensor: ResultView["tensor"],
  ): Pieces {
    const size = Math.min(sums.length, SUM_PIECE);
    const wide = this.#heap.allocate(size * 4 + SLACK),
      narrow = this.#heap.allocate(size * 2 + SLACK);
    for (let begin = 0; begin < sums.length; begin += size) {
      const n = Math.min(size, sums.length - begin);
      this.#memory.f32(wide, n).set(sums.subarray(begin, begin + n));
      this.#kernels.narrow(wide, narrow, n, DTYPE_CODES[dtype]!);
      elements(tensor).set(this.#memory.u16(narrow, n), begin);
      yield "work";
    }
    this.#heap.free(narrow);
    this.#heap.free(wide);
  }
}
