// explain(): what a backend says of its plan.
import type { Cost } from "../plan/cost.ts";
import type { Estimates } from "../plan/estimate.ts";
import type { KernelName } from "../plan/kernel.ts";
import type { ExplainedBlocks } from "../plan/explained_blocks.ts";
import type { DotForm } from "../plan/target.ts";
import type { Precision } from "../problem/precision.ts";
import type { Tile } from "../plan/wasm/tiles.ts";

/** One step of a plan: a kernel and its pieces of work. */
export interface ExplainedStep {
  /** The kernel: that of the plan, or one that works before or after it; with the tensor that it is about. */
  readonly kernel:
    | KernelName
    | "combine"
    | "reduce dq"
    | "merge into"
    | "delta"
    | "dq"
    | "dkv"
    | "dk"
    | "dv"
    | `${
      | "rotate"
      | "copy"
      | "classify"
      | "repair"
      | "pair sum"
      | "row sum"
      | "captured sum"
      | "add"
      | "narrow"} ${string}`;
  /** Pieces of work. */
  readonly items: number;
}

/** A share of a call that one backend computes while another computes the rest. */
export interface ExplainedShare {
  /** The backend. */
  readonly backend: "wasm" | "webgpu";
  /** What the call is cut along. */
  readonly of: "kv heads" | "sequences";
  /** The first of these. */
  readonly from: number;
  /** The one behind the last. */
  readonly to: number;
}

/** What `engine.explain` returns: how a call would run. */
export interface Explanation {
  /** The backend that would compute. */
  readonly backend: "wasm" | "webgpu";
  /** Why this backend, for this call. */
  readonly reason: string;
  /** Name of the GPU, where it computes. */
  readonly adapter?: string;
  /** Milliseconds that the call is expected to take on each backend that the engine has. */
  readonly estimates?: Estimates;
  /** With `coexecute`: what each backend computes; missing where one of them computes all. */
  readonly shares?: readonly ExplainedShare[];
  /** The kernel family. */
  readonly kernel: KernelName;
  /** What products are computed in. */
  readonly precision: Precision;
  /**
   * With precision `"int8"` or `"int8-pv"`: how four products of bytes are added up. On a processor with an instruction for it, `"three
   * instructions"` until the engine has measured that (in its first calls of these precisions): the results are the same.
   */
  readonly dots?: DotForm;
  /** Query rows of a block and keys of a tile. */
  readonly tile: Tile;
  /** Whether the tile was found by trying on this GPU (`tune`). */
  readonly tuned?: boolean;
  /** Threads that would share the work; on a GPU, those of a workgroup. */
  readonly threads: number;
  /** Workers with a memory of their own that would share the work; missing where none would. */
  readonly workers?: number;
  /** KV splits: key ranges that are computed apart and combined. */
  readonly splits: number;
  /** What runs, in order, and in how many pieces of work. */
  readonly steps: readonly ExplainedStep[];
  /** Pieces of work in all. */
  readonly items: number;
  /** Regions: pieces in which operands are brought in or bound. */
  readonly regions: number;
  /** Operations, bytes, and pairs that key lengths, causal masks and windows leave visible. */
  readonly cost: Cost;
  /** What a mask function or a block mask leaves of them, where there is one. */
  readonly blocks?: ExplainedBlocks;
  /**
   * Keys that the sequences of a cache share and that are read once for all of them: what stands above is then that of
   * the call without this, which runs as two whose results are merged.
   */
  readonly sharedKeys?: number;
  /** Scratch of one thread, or memory of a workgroup, in bytes. */
  readonly scratchBytes: number;
  /** Memory beyond the tensors, in bytes: scratch (of all threads) and partial results of one region. */
  readonly memoryBytes: number;
  /** Bytes that the memory of this backend may have: `memoryBudget` of the engine, or what the backend has at most. */
  readonly memoryBudget: number;
  /**
   * Bytes that the call takes at its peak beside the resident tensors that are there, at most: staged or uploaded operands,
   * scratch, results that stay. Where that is more than the budget leaves, the call throws a `RangeError`.
   */
  readonly peakBytes: number;
  /** Ranges of keys that are in memory one after the other: 1 where all keys of a head are there at once. */
  readonly keyChunks: number;
  /** Regions whose results join those of earlier keys of the same queries: merged by their lse, gradients added up. */
  readonly merges: number;
  /** What an N x N score matrix would take, in bytes. */
  readonly matrixBytes: number;
}
