// Staging: bringing one region of a call's operands into linear memory, telling the kernels where they
// lie, and taking results out again. Resident f32 tensors are used in place; everything else is copied
// (16-bit values are widened on the way, so that kernels see f32). Long copies pause now and then.
import { callName, checkReach } from "../../backend/backend.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { OperandName } from "../../tensor/operands.ts";
import { extentOf } from "../../tensor/shape.ts";
import {
  elementBytes,
  forAxes,
  type MutableAxes,
  type OperandSpec,
  placeOf,
  type View,
} from "../../tensor/view.ts";
import { baseOf } from "../../plan/sequences.ts";
import type { Plan, PlannedRegion } from "../../plan/wasm/plan.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { Side } from "../../tensor/copy.ts";
import { copyInPieces, inPieces, type Pieces } from "../memory/pieces.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import { blocksBytes, blocksWords, summarizeBlocks } from "./blocks.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import { elements, type ResultView } from "../memory/results.ts";
import {
  boxKey,
  boxOf,
  repeats,
  STAGED,
  type Staged,
  stagedRaw,
  type Stay,
  stayOf,
  usable,
} from "./staged_operands.ts";
import { HiddenBlocks } from "./hidden_blocks.ts";
import { Rotation } from "./rotation.ts";
import { writeShared } from "./shared.ts";
import { Sums } from "./sums.ts";
import { type OperandWords, type Room, writeItems, writeTask } from "./task_record.ts";
import type { WasmTensor } from "../memory/tensors.ts";

/** A region that lies in linear memory, ready to run. */
export interface StagedRegion {
  readonly region: PlannedRegion;
  /** Addresses of the item records of each step. */
  readonly steps: readonly (readonly number[])[];
  readonly staged: readonly Staged[];
  /** What is freed when the region is done. */
  readonly blocks: readonly number[];
}

/** Brings the regions of one call in and out. */
export class Staging {
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #problem: AttentionProblem;
  readonly #plan: Plan;
  readonly #inputs: readonly View[];
  readonly #results: readonly ResultView[];
  /** Boxes that later regions need too. */
  readonly #kept = new Map<string, Staged>();
  readonly #blocks = new Set<number>();
  readonly #sums: Sums;
  readonly #hidden: HiddenBlocks;
  readonly #rotation: Rotation;
  /** What all tasks say, once it is there. */
  #shared: ReturnType<typeof writeShared> | undefined;

  constructor(
    memory: LinearMemory,
    kernels: KernelExports,
    problem: AttentionProblem,
    plan: Plan,
    views: Views,
    results: readonly ResultView[],
  ) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#problem = problem;
    this.#plan = plan;
    this.#inputs = Object.values(views);
    this.#results = results;
    this.#sums = new Sums(results);
    this.#hidden = new HiddenBlocks(problem, plan);
    this.#rotation = new Rotation(memory, kernels, problem, (bytes) => this.#allocate(bytes));
  }

  #allocate(bytes: number): number {
    const pointer = this.#memory.allocate(bytes);
    this.#blocks.add(pointer);
    return pointer;
  }

  /** Memory beside that of operands; its addresses are added to `blocks`. */
  #room(blocks: number[]): Room {
    const allocate = (bytes: number) => blocks[blocks.push(this.#allocate(bytes)) - 1]!;
    return { memory: this.#memory, allocate };
  }

  #free(pointer: number): void {
    this.#memory.free(pointer);
    this.#blocks.delete(pointer);
  }

  /** Allocates a box, its axes in the order of the source, rows at the pitch that kernels want. */
  #place(
    name: OperandName,
    spec: OperandSpec,
    region: PlannedRegion,
    bytes: number,
    { stay, key }: { stay: Stay; key: string },
  ): Staged {
    const { splits } = this.#plan, { multiple } = STAGED[name];
    const { begin, size } = boxOf(name, spec, stay, region, this.#problem, splits);
    const strides: MutableAxes = [0, 0, 0, 1];
    let next = Math.ceil(size[3] / multiple) * multiple;
    const outer: (0 | 1 | 2)[] = [0, 1, 2];
    for (const axis of outer.sort((a, b) => spec.strides[a] - spec.strides[b] || b - a)) {
      strides[axis] = next;
      next *= size[axis];
    }
    // kernels read whole vectors of mask rows and of 16-bit rows
    const room = next * bytes + 16, summary = this.#hasBlocks(name) ? blocksBytes(size) : 0;
    const pointer = this.#allocate(room + summary), behind = pointer + room;
    return { name, pointer, begin, size, strides, elementBytes: bytes, stay, key, behind };
  }

  /** Whether hidden pairs of an operand are summed up by blocks. Decode looks at the pairs themselves. */
  #hasBlocks(name: OperandName): boolean {
    return STAGED[name].dtype === "bool" && this.#plan.kernel !== "decode";
  }

  *#stageInput(view: View, region: PlannedRegion): Generator<"work", Staged, void> {
    const { name, dtype } = view, stay = stayOf(name, view, region);
    const key = stay === "region" ? "" : boxKey(name, view, stay, region);
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const narrow = dtype === "f16" || dtype === "bf16",
      bytes = dtype === "bool" ? 1 : narrow ? 2 : 4;
    const staged = this.#place(name, view, region, bytes, { stay, key });
    const tensor = view.tensor;
    const array = () => {
      checkReach(view, callName(this.#problem)); // the event loop turned since the call began
      return elements(tensor as HostTensor);
    };
    // axes that broadcast repeat element 0
    const strides = forAxes((axis) => view.size[axis] === 1 ? 0 : view.strides[axis]);
    const offset = view.offset + placeOf(staged.begin, strides);
    const source = () => ({ array: array(), offset, strides });
    yield* copyInPieces(() => this.#side(staged), source, staged.size);
    if (this.#hasBlocks(name)) yield* summarizeBlocks(this.#kernels, staged, staged.behind);
    const wide = narrow && !stagedRaw(name, this.#plan.kernel);
    const result = wide ? yield* this.#widen(staged, dtype) : staged;
    yield* this.#rotation.apply(result, region);
    if (key) this.#kept.set(key, result);
    return result;
  }

  /** The same box in f32. */
  *#widen(staged: Staged, dtype: DType): Generator<"work", Staged, void> {
    const n = extentOf(staged.size, staged.strides),
      pointer = this.#allocate(n * 4 + 16),
      code = DTYPE_CODES[dtype]!;
    yield* inPieces(n, (begin, end) => {
      this.#kernels.widen(staged.pointer + begin * 2, pointer + begin * 4, end - begin, code);
    });
    this.#free(staged.pointer);
    return { ...staged, pointer, elementBytes: 4 };
  }

  *#placeResult(result: ResultView, region: PlannedRegion): Generator<"work", Staged, void> {
    const { name } = result, stay = stayOf(name, result, region);
    const key = stay === "region" ? "" : boxKey(name, result, stay, region);
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const staged = this.#place(name, result, region, 4, { stay, key });
    if (key) this.#kept.set(key, staged);
    if (STAGED[name].summed) {
      yield* inPieces(extentOf(staged.size, staged.strides), (begin, end) => {
        this.#memory.f32(staged.pointer + begin * 4, end - begin).fill(0);
      });
    }
    return staged;
  }

  /** A staged box as one side of a copy; element 0 is the first of the box. */
  #side({ name, pointer, strides, elementBytes }: Staged): Side {
    const length = Math.floor((this.#memory.memory.buffer.byteLength - pointer) / elementBytes);
    const array = STAGED[name].dtype === "i32"
      ? this.#memory.i32(pointer, length)
      : elementBytes === 4
      ? this.#memory.f32(pointer, length)
      : elementBytes === 2
      ? this.#memory.u16(pointer, length)
      : this.#memory.u8(pointer, length);
    return { array, offset: 0, strides };
  }

  /** Adds where kernels find an operand of a region; brings it in where they cannot work on it in place. */
  *#bring(
    view: View | ResultView,
    region: PlannedRegion,
    staged: Staged[],
    words: OperandWords[],
  ): Pieces {
    const { name } = view, { operand } = STAGED[name], axes = [0, 1, 2] as const;
    const strides: [number, number, number] = [0, 0, 0], base = baseOf(name, region) ?? 0;
    if (!this.#rotation.turns(name) && usable(name, view, this.#plan.kernel)) {
      const bytes = elementBytes(view), { pointer } = view.tensor as WasmTensor;
      for (const axis of axes) {
        if (view.pages || !repeats(name, view, axis)) strides[axis] = view.strides[axis] * bytes;
      }
      const begin = "like" in view ? 0 : view.offset * bytes;
      words.push([operand, [pointer + begin + base * strides[2], ...strides]]);
      return;
    }
    const box = "like" in view
      ? yield* this.#placeResult(view, region)
      : yield* this.#stageInput(view, region);
    staged.push(box);
    let first = box.pointer; // of the whole operand, as if all of it were there
    for (const axis of axes) {
      if (repeats(name, view, axis)) continue;
      strides[axis] = box.strides[axis] * box.elementBytes;
      first -= strides[axis] * (box.begin[axis] - (axis === 2 ? base : 0));
    }
    words.push([operand, [first, ...strides]]);
    if (this.#hasBlocks(name)) words.push(blocksWords(box, view.size, box.behind));
  }

  /** Brings a region in. */
  *stage(region: PlannedRegion, index: number): Generator<"work", StagedRegion, void> {
    const staged: Staged[] = [], words: OperandWords[] = [];
    for (const view of this.#inputs) yield* this.#bring(view, region, staged, words);
    for (const result of this.#results) yield* this.#bring(result, region, staged, words);
    const blocks = staged.map((box) => box.pointer);
    const room = this.#room(blocks), call = this.#room([]);
    const { programs, tables } = this.#shared ??= writeShared(call, this.#problem, this.#plan);
    words.push(...tables, ...yield* this.#hidden.words(region, room, call)); // in place of those of bytes
    const task = writeTask(room, this.#problem, this.#plan, region, words, programs);
    const steps = region.steps.map(({ items }) => writeItems(room, items, task, index));
    return { region, steps, staged, blocks };
  }

  /** Takes the results of a finished region out and gives its memory back. */
  *collect({ region, staged, blocks }: StagedRegion): Pieces {
    const keep = new Set<number>();
    for (const box of staged) {
      if (box.stay === "call" || (box.stay === "rows" && !region.last)) {
        keep.add(box.pointer);
        continue;
      }
      if (box.key) this.#kept.delete(box.key);
      const result = this.#results.find(({ name }) => name === box.name);
      if (!result) continue;
      if (STAGED[box.name].summed) {
        yield* this.#sums.add(result, { ...box, values: () => this.#side(box).array });
      } else {
        yield* this.#rotation.apply(box, region);
        yield* this.#takeOut(box, result);
      }
    }
    for (const pointer of blocks) if (!keep.has(pointer)) this.#free(pointer);
  }

  *#takeOut(box: Staged, result: ResultView): Pieces {
    let source = box;
    if (result.dtype === "f16" || result.dtype === "bf16") {
      const n = extentOf(box.size, box.strides), pointer = this.#allocate(n * 2 + 16);
      const code = DTYPE_CODES[result.dtype]!;
      yield* inPieces(n, (begin, end) => {
        this.#kernels.narrow(box.pointer + begin * 4, pointer + begin * 2, end - begin, code);
      });
      source = { ...box, pointer, elementBytes: 2 };
    }
    const offset = placeOf(box.begin, result.strides);
    const target = () => ({ array: elements(result.tensor), offset, strides: result.strides });
    yield* copyInPieces(target, () => this.#side(source), box.size);
    if (source !== box) this.#free(source.pointer);
  }

  /** Writes what only the whole call knows: sums over regions. */
  *finish(): Pieces {
    if (this.#sums.none) return;
    for (const { name, dtype, tensor } of this.#results) {
      const sums = this.#sums.of(name);
      if (!sums) continue;
      const n = sums.length;
      if (dtype === "f32") {
        yield* inPieces(n, (begin, end) => elements(tensor).set(sums.subarray(begin, end), begin));
        continue;
      }
      const wide = this.#allocate(n * 4 + 16), narrow = this.#allocate(n * 2 + 16);
      this.#memory.f32(wide, n).set(sums);
      this.#kernels.narrow(wide, narrow, n, DTYPE_CODES[dtype as DType]!);
      elements(tensor).set(this.#memory.u16(narrow, n));
      this.#free(wide);
      this.#free(narrow);
    }
  }

  /** Gives back whatever is still held, after a failure too. */
  dispose(): void {
    for (const pointer of this.#blocks) this.#memory.free(pointer);
    this.#blocks.clear();
    this.#kept.clear();
  }
}
