// What an engine asks of a backend. A backend plans and runs problems; which one runs a call, and every
// error about arguments, is the business of those who call it.
import type { DType } from "../tensor/dtype.ts";
import type { Explanation } from "./explanation.ts";
import type { MergePart, MergeShape } from "../problem/merge.ts";
import type { OperandName } from "../tensor/operands.ts";
import type { PoolShape } from "../tensor/pages.ts";
import { extentOf } from "../tensor/shape.ts";
import type { View } from "../tensor/view.ts";
import { argumentOf } from "../problem/argument_names.ts";
import { type AttentionProblem, CALL_NAMES, type Views } from "../problem/problem.ts";
import type { TurnCall } from "../problem/rotations.ts";
import type { Target } from "../plan/target.ts";
import { ResidentTensor } from "../tensor/resident.ts";
import type { HostTensor, Tensor } from "../tensor/tensor.ts";

/** What is used of an `AbortSignal`: not every type library has the class. */
export interface AbortSignalLike {
  /** Throws the reason once the signal is aborted. */
  throwIfAborted(): void;
  /**
   * Is told between pieces of work which share of the call is done, from 0 to 1; a call that is computed in two parts counts
   * twice. An `AbortSignal` has no such method: put one beside `throwIfAborted` to hear how far a long call has come.
   */
  progress?(share: number): void;
}

/** Bytes of memory, as `engine.memory` reports them. */
export interface MemoryUse {
  /** Size of the memory; that of WASM never shrinks while the engine lives. */
  readonly total: number;
  /** In use now: resident tensors, scratch, and staged operands while a call runs. */
  readonly used: number;
  /** The most that was ever in use. */
  readonly peak: number;
}

/** A result of a call. */
export interface BackendResult {
  readonly name: OperandName;
  readonly tensor: HostTensor | Tensor;
}

/** How a call runs. */
export interface RunOptions {
  /** Not aborted yet when `run` is called. */
  readonly signal?: AbortSignalLike | undefined;
  /** Whether results stay in the memory of the backend, wherever the inputs are. */
  readonly resident?: boolean | undefined;
  /** Where results go that the caller has room for: host tensors, or those of the backend. */
  readonly into?: Views | undefined;
}

/** Keys, or values, of a cache in the memory of a backend: rows in pages. */
export interface RowPool {
  /** The memory itself. */
  readonly tensor: ResidentTensor;
  /**
   * Stores rows of an operand, [batch, head, row, column], in the type of the pool. `places`: for each of its rows, one
   * sequence after the other, the page where it goes times rows of a page, plus its row there.
   */
  store(rows: View, places: Int32Array): void;
  /** Copies a page. */
  copyPage(from: number, to: number): void;
  /** The bytes of some pages. */
  readPages(pages: readonly number[]): Promise<Uint8Array[]>;
  /** Writes the bytes of a page. */
  writePage(page: number, bytes: Uint8Array): void;
}

/** Where calls are computed. Tensors that it is given are host tensors or its own. */
export interface Backend {
  readonly name: "wasm" | "webgpu";
  readonly target: Target;
  /** Bytes in total, in use and at the peak. */
  readonly memory: MemoryUse;
  /** A resident tensor, row-major; what it holds is unspecified. */
  empty(shape: readonly number[], dtype: DType): Tensor;
  /** Memory for the keys, or the values, of a cache; what it holds is unspecified. */
  pool(shape: PoolShape): RowPool;
  /** Whether a resident tensor lives in this backend. */
  owns(tensor: Tensor): boolean;
  /**
   * Plans a call and runs it, after the calls given before. Rejects when the backend is disposed or a
   * tensor of the call was before it could begin.
   */
  run(
    problem: AttentionProblem,
    views: Views,
    options: RunOptions,
  ): Promise<readonly BackendResult[]>;
  /** Merges partial results over disjoint keys. */
  merge(parts: readonly MergePart[], shape: MergeShape): readonly BackendResult[];
  /** Turns the rows of a tensor. */
  turn(call: TurnCall): BackendResult;
  /** Milliseconds that a call is expected to take, copies of host tensors included. */
  estimate(problem: AttentionProblem): number;
  /** How a call would run; nothing is computed. `reason`: why this backend. */
  explain(problem: AttentionProblem, reason: string, views: Views): Explanation;
  /** Resolves when all work given so far has ended. */
  synchronize(): Promise<void>;
  /** Lets threads and devices go. A call that is under way rejects, and so do those that wait. */
  dispose(): void;
}

/** The name under which errors know a call. */
export function callName({ pass }: AttentionProblem): string {
  return CALL_NAMES[pass];
}

/** The error of a call that came too late. */
export function disposedError(action: string): TypeError {
  return new TypeError(`Cannot run ${action}: the engine was disposed`);
}

/** The resident tensors of a call, each once. */
export function residentOf(views: Views): ResidentTensor[] {
  const tensors = (Object.values(views) as View[]).map(({ tensor }) => tensor);
  return [...new Set(tensors.filter((tensor) => tensor instanceof ResidentTensor))];
}

/** Throws when a tensor was disposed while its call waited, or no longer has the elements that it had. */
export function checkLive(views: Views, action: string): void {
  for (const view of Object.values(views) as View[]) {
    if ("disposed" in view.tensor && view.tensor.disposed) {
      throw new TypeError(
        `Cannot run ${action}: ${argumentOf(view.name, action)} was disposed while the call waited`,
      );
    }
    checkReach(view, action);
  }
}

/** The same of a destination, by the name that errors give it. */
export function checkDestination(view: View, action: string): void {
  checkReach({ ...view, name: `into.${view.name}` as OperandName }, action);
}

/** Throws when a host array was transferred or made smaller since the call checked it: it would give NaN. */
export function checkReach({ name, tensor, size, strides, offset }: View, action: string): void {
  if (!("data" in tensor)) return;
  const reach = offset + extentOf(size, strides);
  if (tensor.data.length >= reach) return;
  const called = argumentOf(name, action), does = name.startsWith("into.") ? "written" : "read";
  throw new TypeError(
    `Cannot run ${action}: ${called}.data has ${tensor.data.length} elements now but ${reach} are ` +
      `${does}: it was transferred or made smaller while the call was under way`,
  );
}
