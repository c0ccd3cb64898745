// Staging: bringing one region of a call's operands into linear memory, telling the kernels where they
// lie, and taking results out again. Resident f32 tensors are used in place; everything else is copied
// (16-bit values are widened on the way, so that kernels see f32). Long copies pause now and then.
import { callName, checkReach } from "../../backend/backend.ts";
import type { DType } from "../../tensor/dtype.ts";
import { extentOf } from "../../tensor/shape.ts";
import { elementBytes, forAxes, placeOf, type View } from "../../tensor/view.ts";
import { baseOf } from "../../plan/sequences.ts";
import { partialResults, type Plan, type PlannedRegion } from "../../plan/wasm/plan.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import { type HostTensor, isResident } from "../../tensor/tensor.ts";
import { Kernel } from "../../../asm/abi.ts";
import { copyInPieces, inPieces, type Pieces } from "../memory/pieces.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import { blocksWords, summarizeBlocks } from "./blocks.ts";
import {
  boxBytes,
  type BoxLayout,
  hasBlocks,
  isWidened,
  layoutOf,
  sideOf,
  SLACK,
} from "./boxes.ts";
import type { Heap } from "../memory/arena.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import { elements, type ResultView } from "../memory/results.ts";
import { repeats, STAGED, type Staged, type Stay, stayOf, usable } from "./staged_operands.ts";
import { HiddenBlocks } from "./hidden_blocks.ts";
import { NO_PARTS, partWords, placePartialRows, writeMergeTask } from "./partial_rows.ts";
import { ResultsOut } from "./results_out.ts";
import { Rotation } from "./rotation.ts";
import { writeShared } from "./shared.ts";
import {
  type OperandWords,
  type PartialRows,
  type Room,
  writeItems,
  writeTask,
} from "./task_record.ts";
import type { WasmTensor } from "../memory/tensors.ts";

/** Memory that a call has. */
export interface Block {
  readonly pointer: number;
  readonly bytes: number;
  /** Whether kernels write all of it that is read: it holds nothing before. */
  made?: boolean;
}

/** A region that lies in linear memory, ready to run. */
export interface StagedRegion {
  readonly region: PlannedRegion;
  /** Addresses of the item records of each step. */
  readonly steps: readonly (readonly number[])[];
  readonly staged: readonly Staged[];
  /** What is freed when the region is done. */
  readonly blocks: readonly number[];
}

/** Where memory is short, what stays longest lies lowest, so that what goes first leaves no hole below it. */
const LIFETIMES: readonly Stay[] = ["call", "rows", "region"];

/** Whether later regions need a box too. */
const staysBehind = ({ stay }: Staged, { last }: PlannedRegion): boolean =>
  stay === "call" || (stay === "rows" && !last);

/** Brings the regions of one call in and out. */
export class Staging {
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #heap: Heap;
  readonly #problem: AttentionProblem;
  readonly #plan: Plan;
  /** Inputs and results, those that stay longest first. */
  readonly #operands: readonly (View | ResultView)[];
  readonly #results: readonly ResultView[];
  /** Boxes that later regions need too. */
  readonly #kept = new Map<string, Staged>();
  readonly #blocks = new Map<number, Block>();
  /** What all regions need: programs, tables. */
  readonly #callBlocks: number[] = [];
  readonly #out: ResultsOut;
  readonly #hidden: HiddenBlocks;
  readonly #rotation: Rotation;
  /** What all tasks say, once it is there. */
  #shared: ReturnType<typeof writeShared> | undefined;
  /** Partial results of the rows at hand, where their keys come in chunks, and what they take. */
  #parts: PartialRows = NO_PARTS;
  #partBlocks: number[] = [];

  /** `heap`: where all of it goes. */
  constructor(
    memory: LinearMemory,
    kernels: KernelExports,
    heap: Heap,
    problem: AttentionProblem,
    plan: Plan,
    views: Views,
    results: readonly ResultView[],
  ) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#problem = problem;
    this.#plan = plan;
    this.#results = results;
    this.#heap = {
      allocate: (bytes) => {
        const pointer = heap.allocate(bytes);
        this.#blocks.set(pointer, { pointer, bytes });
        return pointer;
      },
      free: (pointer) => {
        heap.free(pointer);
        this.#blocks.delete(pointer);
      },
    };
    const all = [...Object.values(views), ...results];
    const region = plan.limits && plan.regions[0];
    this.#operands = !region
      ? all
      : LIFETIMES.flatMap((stay) =>
        all.filter((view) => stayOf(view.name, view, plan, region) === stay)
      );
    this.#out = new ResultsOut(memory, kernels, this.#heap, results);
    this.#hidden = new HiddenBlocks(problem, plan);
    this.#rotation = new Rotation(memory, kernels, problem, this.#heap, plan.limits === undefined);
  }

  /** Memory beside that of operands; its addresses are added to `blocks`. */
  #room(blocks: number[]): Room {
    const allocate = (bytes: number) => blocks[blocks.push(this.#heap.allocate(bytes)) - 1]!;
    return { memory: this.#memory, allocate };
  }

  #place(layout: BoxLayout): Staged {
    const room = boxBytes(layout), pointer = this.#heap.allocate(room + layout.summary);
    return { ...layout, pointer, behind: pointer + room };
  }

  *#stageInput(view: View, layout: BoxLayout, region: PlannedRegion): Generator<"work", Staged> {
    const { name } = view, staged = this.#place(layout), wide = isWidened(name, view, this.#plan);
    // what is widened is brought in behind its place, which is free again before anything else is
    const narrow = wide && this.#heap.allocate(layout.extent * 2 + SLACK);
    const from = narrow ? { ...staged, pointer: narrow, elementBytes: 2 } : staged;
    const array = () => {
      checkReach(view, callName(this.#problem)); // the event loop turned since the call began
      return elements(view.tensor as HostTensor);
    };
    // axes that broadcast repeat element 0
    const strides = forAxes((axis) => view.size[axis] === 1 ? 0 : view.strides[axis]);
    const offset = view.offset + placeOf(staged.begin, strides);
    const source = () => ({ array: array(), offset, strides });
    yield* copyInPieces(() => sideOf(this.#memory, from), source, staged.size);
    if (hasBlocks(name, this.#plan)) yield* summarizeBlocks(this.#kernels, staged, staged.behind);
    if (narrow) {
      yield* this.#widen(from, staged, view.dtype as DType);
      this.#heap.free(narrow);
    }
    yield* this.#rotation.apply(staged, region);
    return staged;
  }

  /** The same box in f32. */
  *#widen(from: Staged, to: Staged, dtype: DType): Pieces {
    const n = extentOf(from.size, from.strides), code = DTYPE_CODES[dtype]!;
    yield* inPieces(n, (begin, end) => {
      this.#kernels.widen(from.pointer + begin * 2, to.pointer + begin * 4, end - begin, code);
    });
  }

  *#placeResult(layout: BoxLayout): Generator<"work", Staged> {
    const staged = this.#place(layout);
    this.#blocks.get(staged.pointer)!.made = !STAGED[layout.name].summed;
    if (STAGED[layout.name].summed) {
      yield* inPieces(extentOf(staged.size, staged.strides), (begin, end) => {
        this.#memory.f32(staged.pointer + begin * 4, end - begin).fill(0);
      });
    }
    return staged;
  }

  /** The box of an operand or result, which may be there already. */
  *#stageBox(view: View | ResultView, region: PlannedRegion): Generator<"work", Staged> {
    const layout = layoutOf(view.name, view, region, this.#problem, this.#plan), { key } = layout;
    const kept = key && this.#kept.get(key);
    if (kept) return kept;
    const box = "like" in view
      ? yield* this.#placeResult(layout)
      : yield* this.#stageInput(view, layout, region);
    if (key) this.#kept.set(key, box);
    return box;
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
    if (!this.#rotation.turns(name) && usable(name, view, this.#plan)) {
      const bytes = elementBytes(view), { pointer } = view.tensor as WasmTensor;
      for (const axis of axes) {
        if (view.pages || !repeats(name, view, axis)) strides[axis] = view.strides[axis] * bytes;
      }
      const begin = "like" in view ? 0 : view.offset * bytes;
      words.push([operand, [pointer + begin + base * strides[2], ...strides]]);
      return;
    }
    const box = yield* this.#stageBox(view, region);
    staged.push(box);
    // of the whole operand, as if all of it were there
    let first = box.pointer - box.begin[3] * box.elementBytes;
    for (const axis of axes) {
      if (repeats(name, view, axis)) continue;
      strides[axis] = box.strides[axis] * box.elementBytes;
      first -= strides[axis] * (box.begin[axis] - (axis === 2 ? base : 0));
    }
    words.push([operand, [first, ...strides]]);
    if (hasBlocks(name, this.#plan)) words.push(blocksWords(box, view.size, box.behind));
  }

  /** Brings a region in. */
  *stage(region: PlannedRegion, index: number): Generator<"work", StagedRegion> {
    const { part, parts, lastKeys } = region, problem = this.#problem, plan = this.#plan;
    const call = this.#room(this.#callBlocks), staged: Staged[] = [], words: OperandWords[] = [];
    this.#shared ??= writeShared(call, problem, plan);
    if (parts > 1 && part === 0) {
      this.#parts = placePartialRows(this.#room(this.#partBlocks), problem, plan, region, parts);
    }
    const results: OperandWords[] = parts > 1 ? [] : words;
    for (const view of this.#operands) {
      if (!("like" in view)) yield* this.#bring(view, region, staged, words);
      else if (parts === 1 || lastKeys) yield* this.#bring(view, region, staged, results);
    }
    const blocks = staged.map((box) => box.pointer), room = this.#room(blocks);
    if (parts > 1) words.push(...partWords(this.#parts, part));
    const { programs, tables } = this.#shared;
    words.push(...tables, ...yield* this.#hidden.words(region, room, call)); // in place of those of bytes
    const count = plan.kernel === "forward" ? 0 : partialResults(region);
    const splits = placePartialRows(room, problem, plan, region, count);
    const task = writeTask(room, problem, plan, region, words, splits, programs);
    const steps = region.steps.map(({ kernel, items }) => {
      const merges = parts > 1 && kernel === Kernel.Combine;
      const of = merges ? writeMergeTask(room, problem, this.#parts, results) : task;
      return writeItems(room, items, of, index);
    });
    return { region, steps, staged, blocks };
  }

  /** Blocks that kernels read of a region, which may be those of other regions too. */
  needs({ blocks }: StagedRegion): Block[] {
    const all = [...this.#callBlocks, ...blocks].map((pointer) => this.#blocks.get(pointer)!);
    return all.filter(({ made }) => !made);
  }

  /** Blocks with results that leave with a region. */
  leaving({ region, staged }: StagedRegion): Block[] {
    const boxes = staged.filter((box) => !staysBehind(box, region) && this.#resultOf(box));
    return boxes.map(({ pointer }) => this.#blocks.get(pointer)!);
  }

  #resultOf(box: Staged): ResultView | undefined {
    return this.#results.find(({ name }) => name === box.name);
  }

  /** Takes the results of a finished region out and gives its memory back. */
  *collect({ region, staged, blocks }: StagedRegion): Pieces {
    const keep = new Set<number>();
    for (const box of staged) {
      if (staysBehind(box, region)) {
        keep.add(box.pointer);
        continue;
      }
      if (box.key) this.#kept.delete(box.key);
      const result = this.#resultOf(box);
      if (!result) continue;
      if (!STAGED[box.name].summed) yield* this.#rotation.apply(box, region);
      yield* this.#out.take(box, result, region);
    }
    for (const pointer of blocks) if (!keep.has(pointer)) this.#heap.free(pointer);
    if (region.parts === 1 || !region.lastKeys) return;
    for (const pointer of this.#partBlocks.splice(0)) this.#heap.free(pointer);
  }

  /** Whether items write tensors of the caller's. */
  get writesGiven(): boolean {
    return this.#results.some(({ tensor, into }) => into !== undefined && isResident(tensor));
  }

  /** Writes what only the whole call knows: sums over regions. */
  finish(): Pieces {
    return this.#out.finish();
  }

  /** Gives back whatever is still held, after a failure too. */
  dispose(): void {
    for (const pointer of this.#blocks.keys()) this.#heap.free(pointer);
    this.#kept.clear();
  }
}
