// Staging: bringing one window of a call's operands into linear memory, telling the kernels where they
// lie, and taking results out again. Resident f32 tensors are used in place; everything else is copied
// (16-bit values are widened on the way, so that kernels see f32).
import { Operand } from "../../../asm/abi.ts";
import type { DType } from "../../tensor/dtype.ts";
import { abiName, type OperandName } from "../../tensor/operands.ts";
import type { OperandSpec, View } from "../../tensor/view.ts";
import type { Plan, StageWindow } from "../../plan/wasm/plan.ts";
import { stagedWhole } from "../../plan/wasm/regions.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { MaskTensor } from "../../tensor/tensor.ts";
import { copyBox, type Side } from "../memory/copy.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import { maskBlocksBytes, maskBlocksWords, summarizeMask } from "./mask_summary.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import { elements, type ResultView } from "../memory/results.ts";
import { type OperandWords, writeItems, writeTask } from "./task_record.ts";
import type { WasmTensor } from "../memory/tensors.ts";

type Four = [number, number, number, number];

/** A box of an operand in linear memory. */
interface Staged {
  readonly name: OperandName;
  readonly pointer: number;
  /** First index and number of indices of each axis. */
  readonly begin: Four;
  readonly size: Four;
  /** In elements of the staged type. */
  readonly strides: Four;
  readonly elementBytes: number;
  /** What follows the box: the summary of a mask. */
  readonly behind: number;
}

/** A window that lies in linear memory, ready to run. */
export interface StagedWindow {
  readonly window: StageWindow;
  /** Addresses of the item records. */
  readonly items: readonly number[];
  readonly joins: readonly number[];
  readonly staged: readonly Staged[];
  /** What is freed when the window is done. */
  readonly blocks: readonly number[];
}

const up = (n: number, to: number): number => Math.ceil(n / to) * to;
const product = (size: readonly number[]): number => size.reduce((a, b) => a * b, 1);

/** Elements from the first of a box to its last, both included. */
function extent({ size, strides }: Staged): number {
  if (size.some((n) => n === 0)) return 0;
  return size.reduce((last, n, axis) => last + (n - 1) * strides[axis], 1);
}

/** Whether kernels may work on a resident result or operand where it lies. */
function usable(spec: OperandSpec, name: OperandName, kernel: Plan["kernel"]): boolean {
  if (!spec.resident) return false;
  if (name === "bias" || name === "dBias") return false; // rows need padding, and sums an order
  if (kernel === "decode" && (name === "k" || name === "v")) return true; // read as stored
  // the gradient tiles of dK and dV work on whole groups of four columns
  if (name === "dk" || name === "dv") return spec.dtype === "f32" && spec.size[3] % 4 === 0;
  return spec.dtype === "f32";
}

/** Brings the windows of one call in and out. */
export class Staging {
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #problem: AttentionProblem;
  readonly #plan: Plan;
  readonly #inputs: readonly View[];
  readonly #results: readonly ResultView[];
  /** Keys and their gradients, kept while later row windows of the same heads need them. */
  readonly #kept = new Map<string, Staged>();
  readonly #blocks = new Set<number>();
  readonly #dBias: Float32Array | undefined;

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
    const dBias = results.find((result) => result.name === "dBias");
    if (dBias) this.#dBias = new Float32Array(product(dBias.size));
  }

  #allocate(bytes: number): number {
    const pointer = this.#memory.allocate(bytes);
    this.#blocks.add(pointer);
    return pointer;
  }

  #free(pointer: number): void {
    this.#memory.free(pointer);
    this.#blocks.delete(pointer);
  }

  /** The box of an operand that a window needs. */
  #box(spec: OperandSpec, name: OperandName, w: StageWindow): { begin: Four; size: Four } {
    const group = this.#problem.queryHeads / this.#problem.kvHeads;
    const keys = name === "k" || name === "v" || name === "dk" || name === "dv";
    const [h0, h1] = keys
      ? [w.kvHeadBegin, w.kvHeadEnd]
      : [w.kvHeadBegin * group, w.kvHeadEnd * group];
    const [r0, r1] = keys ? [0, spec.size[2]] : [w.rowBegin, w.rowEnd];
    const begin: Four = [w.batchBegin, h0, r0, 0];
    const size: Four = [w.batchEnd - w.batchBegin, h1 - h0, r1 - r0, spec.size[3]];
    if (name === "bias" || name === "mask" || name === "dBias") {
      for (const axis of [0, 1, 2]) if (spec.size[axis] === 1) [begin[axis], size[axis]] = [0, 1];
      // what all heads share is staged whole, once, if it is not too large
      if (name !== "dBias" && stagedWhole(spec)) [begin[2], size[2]] = [0, spec.size[2]];
      size[3] = this.#problem.lengthK;
    }
    return { begin, size };
  }

  /** Allocates a box, its axes in the order of the source, rows at the pitch that kernels want. */
  #place(spec: OperandSpec, name: OperandName, w: StageWindow, bytes: number): Staged {
    const { begin, size } = this.#box(spec, name, w);
    const pitch = name === "mask"
      ? up(size[3], 16)
      : name === "dk" || name === "dv" || name === "bias" || name === "dBias"
      ? up(size[3], 4)
      : size[3];
    const strides: Four = [0, 0, 0, 1];
    let next = pitch;
    for (const axis of [0, 1, 2].sort((a, b) => spec.strides[a] - spec.strides[b] || b - a)) {
      strides[axis] = next;
      next *= size[axis];
    }
    // kernels read whole vectors of mask rows and of 16-bit rows
    const room = next * bytes + 16, behind = name === "mask" ? maskBlocksBytes(size) : 0;
    const pointer = this.#allocate(room + behind);
    return { name, pointer, begin, size, strides, elementBytes: bytes, behind: pointer + room };
  }

  #stageInput(view: View, w: StageWindow): Staged {
    const shared = (view.name === "mask" || view.name === "bias") && stagedWhole(view);
    const key = shared && view.size[0] === 1
      ? view.name
      : `${view.name} ${w.batchBegin} ${shared ? "" : w.kvHeadBegin}`;
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const raw = this.#plan.kernel === "decode" && (view.name === "k" || view.name === "v");
    const narrow = view.dtype === "f16" || view.dtype === "bf16";
    const bytes = view.dtype === "bool" ? 1 : narrow ? 2 : 4;
    const staged = this.#place(view, view.name, w, bytes);
    const tensor = view.tensor;
    const array = view.dtype === "bool" ? (tensor as MaskTensor).data : elements(tensor as never);
    // axes that broadcast repeat element 0
    const strides = view.strides.map((stride, axis) => view.size[axis] === 1 ? 0 : stride);
    const offset = staged.begin.reduce((sum, index, axis) => sum + index * strides[axis], 0);
    copyBox(this.#side(staged), { array, offset, strides }, staged.size);
    if (view.name === "mask" && this.#plan.kernel !== "decode") {
      summarizeMask(this.#kernels, staged, staged.behind);
    }
    const result = narrow && !raw ? this.#widen(staged, view.dtype as DType) : staged;
    if (shared || view.name === "k" || view.name === "v") this.#kept.set(key, result);
    return result;
  }

  /** The same box in f32. */
  #widen(staged: Staged, dtype: DType): Staged {
    const n = extent(staged), pointer = this.#allocate(n * 4 + 16);
    if (n > 0) this.#kernels.widen(staged.pointer, pointer, n, DTYPE_CODES[dtype]!);
    this.#free(staged.pointer);
    return { ...staged, pointer, elementBytes: 4 };
  }

  #placeResult(result: ResultView, w: StageWindow): Staged {
    const key = `${result.name} ${w.batchBegin} ${w.kvHeadBegin}`, kept = this.#kept.get(key);
    if (kept) return kept;
    const staged = this.#place(result, result.name, w, 4);
    if (result.name === "dk" || result.name === "dv") this.#kept.set(key, staged);
    if (result.name === "dBias") {
      this.#memory.f32(staged.pointer, product(staged.size.with(3, up(staged.size[3], 4)))).fill(0);
    }
    return staged;
  }

  /** A staged box as one side of a copy; element 0 is the first of the box. */
  #side({ pointer, strides, elementBytes }: Staged): Side {
    const length = (this.#memory.memory.buffer.byteLength - pointer) / elementBytes | 0;
    const array = elementBytes === 4
      ? this.#memory.f32(pointer, length)
      : elementBytes === 2
      ? this.#memory.u16(pointer, length)
      : this.#memory.u8(pointer, length);
    return { array, offset: 0, strides };
  }

  /** Brings a window in. */
  stage(window: StageWindow, index: number): StagedWindow {
    const { kernel } = this.#plan, staged: Staged[] = [], words: OperandWords[] = [];
    const inPlace = (spec: OperandSpec, name: OperandName, tensor: WasmTensor) => {
      const bytes = spec.dtype === "f32" ? 4 : 2;
      words.push([Operand[abiName(name) as "Q"], [
        tensor.pointer,
        ...spec.strides.slice(0, 3).map((s) => s * bytes),
      ]]);
    };
    const add = (box: Staged, spec: OperandSpec) => {
      staged.push(box);
      const strides = [0, 1, 2].map((axis) =>
        (box.name === "bias" || box.name === "mask" || box.name === "dBias") &&
          spec.size[axis] === 1
          ? 0
          : box.strides[axis] * box.elementBytes
      );
      const back = strides.reduce((sum, stride, axis) => sum + stride * box.begin[axis], 0);
      words.push([Operand[abiName(box.name) as "Q"], [box.pointer - back, ...strides]]);
      if (box.name === "mask") words.push(maskBlocksWords(box, spec.size, box.behind));
    };
    for (const view of this.#inputs) {
      if (usable(view, view.name, kernel)) inPlace(view, view.name, view.tensor as WasmTensor);
      else add(this.#stageInput(view, window), view);
    }
    for (const result of this.#results) {
      if (usable(result, result.name, kernel)) {
        inPlace(result, result.name, result.tensor as WasmTensor);
      } else add(this.#placeResult(result, window), result);
    }
    const blocks = staged.map((box) => box.pointer);
    const room = {
      memory: this.#memory,
      allocate: (bytes: number) => {
        blocks.push(this.#allocate(bytes));
        return blocks[blocks.length - 1];
      },
    };
    const task = writeTask(room, this.#problem, this.#plan, window, words);
    const items = writeItems(room, window.items, task, index);
    const joins = writeItems(room, window.joins, task, index);
    return { window, items, joins, staged, blocks };
  }

  /** Takes the results of a finished window out and gives its memory back. */
  collect({ window, staged, blocks }: StagedWindow): void {
    const keep = new Set<number>();
    for (const box of staged) {
      const keyed = box.name === "k" || box.name === "v" || box.name === "dk" || box.name === "dv";
      const whole = (box.name === "mask" || box.name === "bias") &&
        stagedWhole(this.#problem.operands[box.name]!);
      if (whole) keep.add(box.pointer); // until the call ends
      else if (keyed && !window.last) keep.add(box.pointer);
      else if (keyed) this.#kept.delete(`${box.name} ${window.batchBegin} ${window.kvHeadBegin}`);
      const result = this.#results.find(({ name }) => name === box.name);
      if (!result || keep.has(box.pointer)) continue;
      if (box.name === "dBias") this.#addBias(box, result);
      else this.#takeOut(box, result);
    }
    for (const pointer of blocks) if (!keep.has(pointer)) this.#free(pointer);
  }

  #takeOut(box: Staged, result: ResultView): void {
    let source = box;
    if (result.dtype !== "f32") {
      const n = extent(box), pointer = this.#allocate(n * 2 + 16);
      if (n > 0) this.#kernels.narrow(box.pointer, pointer, n, DTYPE_CODES[result.dtype as DType]!);
      source = { ...box, pointer, elementBytes: 2 };
    }
    const offset = box.begin.reduce((sum, index, axis) => sum + index * result.strides[axis], 0);
    const target = { array: elements(result.tensor), offset, strides: result.strides };
    copyBox(target, this.#side(source), box.size);
    if (source !== box) this.#free(source.pointer);
  }

  /** Adds a window's dBias; windows come in their order, so every sum has one order. */
  #addBias(box: Staged, result: ResultView): void {
    const sums = this.#dBias!, { array: values } = this.#side(box);
    const strides = [0, 1, 2, 3].map((axis) => result.size[axis] === 1 ? 0 : result.strides[axis]);
    const [nb, nh, nr, nk] = box.size;
    for (let b = 0; b < nb; b++) {
      for (let h = 0; h < nh; h++) {
        for (let r = 0; r < nr; r++) {
          const from = b * box.strides[0] + h * box.strides[1] + r * box.strides[2];
          const to = [b, h, r].reduce(
            (sum, i, axis) => sum + (box.begin[axis] + i) * strides[axis],
            0,
          );
          for (let k = 0; k < nk; k++) sums[to + k * strides[3]] += values[from + k];
        }
      }
    }
  }

  /** Writes what only the whole call knows. */
  finish(): void {
    const result = this.#results.find(({ name }) => name === "dBias");
    if (!result || !this.#dBias) return;
    const n = this.#dBias.length, target = elements(result.tensor);
    if (result.dtype === "f32") return target.set(this.#dBias);
    const wide = this.#allocate(n * 4 + 16), narrow = this.#allocate(n * 2 + 16);
    this.#memory.f32(wide, n).set(this.#dBias);
    this.#kernels.narrow(wide, narrow, n, DTYPE_CODES[result.dtype as DType]!);
    target.set(this.#memory.u16(narrow, n));
    this.#free(wide);
    this.#free(narrow);
  }

  /** Gives back whatever is still held, after a failure too. */
  dispose(): void {
    for (const pointer of this.#blocks) this.#memory.free(pointer);
    this.#blocks.clear();
    this.#kept.clear();
  }
}
