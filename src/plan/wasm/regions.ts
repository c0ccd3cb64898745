// Regions: which part of host tensors lies in engine memory at a time. A region is some batch elements,
// some kv heads with their query heads, some query rows, and all keys or, where memory is short, a chunk of them.
// Small regions keep memory near the size of one head; they must stay large enough that their fixed cost (about
// 10 us) and, where heads are interleaved in memory, the copying of single rows does not show.
import {
  axisSize,
  follows,
  gradientsOf,
  type OperandName,
  OPERANDS,
} from "../../tensor/operands.ts";
import { count } from "../../tensor/shape.ts";
import type { OperandSpec } from "../../tensor/view.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { rotationOf } from "../../problem/rotations.ts";
import { resultNames } from "../results.ts";
import type { KernelName } from "../kernel.ts";
import { regionsBySequence, type RowBases } from "../sequences.ts";

/** Ranges of batch elements, kv heads and query rows; of a packed problem, those of one sequence. */
export interface Region extends RowBases {
  /** Documents, where the problem has some: the keys of a region are then theirs alone. */
  readonly documents?: readonly [begin: number, end: number] | undefined;
  readonly batchBegin: number;
  readonly batchEnd: number;
  readonly kvHeadBegin: number;
  readonly kvHeadEnd: number;
  readonly rowBegin: number;
  readonly rowEnd: number;
  readonly keyBegin: number;
  readonly keyEnd: number;
}

/** What keeps regions small where memory is short. */
export interface RegionLimits {
  /** Most query rows, a multiple of 32: those of a row of the summary of hidden pairs. */
  readonly rows: number;
  /** Most keys, a multiple of `CHUNK_KEYS`. */
  readonly keys: number;
  /** Most bytes of what has an element for each score and is staged once for the call. */
  readonly whole: number;
}

/** Chunks of keys begin at multiples of this: of the tiles of backward, of mask chunks and of blocks of hidden pairs. */
export const CHUNK_KEYS: number = 96;
/** The fewest rows of a region that are worth their fixed cost, and rows that regions begin at multiples of. */
export const LEAST_ROWS: number = 32;

const MiB = 2 ** 20;
/** A region of about this size keeps its fixed cost below a percent. */
const REGION_BYTES = 1 * MiB;
/** Interleaved heads are copied together, in one piece, up to this size. */
const SLAB_BYTES = 16 * MiB;
/** Rows are cut when the row operands of one group exceed this. */
const ROW_BYTES = 4 * MiB;

/**
 * Most work of one item, about 0.2 s of one thread: between items a call looks at its signal and lets the
 * event loop turn. A backward item is all the rows of its region.
 */
export const ITEM_FLOPS: number = 12e9;

/**
 * Whether an operand is used where it lies: resident f32 needs no staging, unless its rows turn, and nothing that a cache
 * holds does.
 */
function inPlace(problem: AttentionProblem, name: OperandName, spec: OperandSpec): boolean {
  const held = spec.resident && (spec.dtype === "f32" || spec.pages !== undefined);
  return held && !rotationOf(problem, name);
}

/** What has an element for each score and is shared by all heads is staged once for the call up to this size. */
const WHOLE_BYTES = 64 * MiB;

/** Whether an operand that follows scores is staged whole, where it may take so many bytes. */
export function stagedWhole(spec: OperandSpec, whole: number = WHOLE_BYTES): boolean {
  const bytes = count(spec.size) * (spec.dtype === "bool" ? 1 : 4);
  return spec.size[1] === 1 && bytes <= Math.min(WHOLE_BYTES, whole);
}

/** Staged bytes of one query row of one kv group (with its query heads), and of the group's keys. */
function groupBytes(problem: AttentionProblem): { row: number; keys: number } {
  const { operands, kvHeads, queryHeads, lengthK } = problem;
  const group = queryHeads / Math.max(1, kvHeads);
  let row = 0, keys = 0;
  const add = (name: OperandName) => {
    const { axes, role, gradientOf } = OPERANDS[name], made = role === "result";
    const like = operands[gradientOf ?? name] ?? operands.q!; // results look like inputs
    const bytes = axisSize(axes[3], problem) * (like.dtype === "bool" ? 1 : 4);
    switch (follows(name)) {
      case "queries":
        if (!inPlace(problem, name, like)) row += group * bytes;
        break;
      case "keys":
        if (!inPlace(problem, name, like)) keys += lengthK * bytes;
        break;
      case "scores": // a result is never shared: see stagedWhole
        if (made || !stagedWhole(like)) row += (made || like.size[1] > 1 ? group : 1) * bytes;
        break;
      case "heads":
      case "documents":
        break;
    }
  };
  for (const name in operands) add(name as OperandName);
  for (const name of resultNames(problem)) add(name);
  return { row, keys };
}

/** Whether the rows of one head follow each other in memory. */
function contiguousHeads(problem: AttentionProblem): boolean {
  const { q, k } = problem.operands;
  return [q, k].every((spec) => spec === undefined || spec.strides[2] <= spec.size[3]);
}

/** Rows of a region: all of them unless they would take too much memory, or too long in one piece. */
function rowsOfRegion(problem: AttentionProblem, kernel: KernelName, rowBytes: number): number {
  const { lengthQ, lengthK, headDim, valueDim, queryHeads, kvHeads } = problem;
  if (kernel === "decode" || lengthQ === 0) return lengthQ;
  const multiple = (rows: number) => Math.max(256, Math.floor(rows / 256) * 256);
  let rows = lengthQ;
  if (rowBytes * lengthQ > ROW_BYTES) rows = Math.min(rows, multiple(ROW_BYTES / rowBytes));
  if (kernel === "backward") {
    // regions that run in turn cost a barrier each, so they are not made smaller than that
    const perRow = 2 * (queryHeads / kvHeads) * lengthK * (3 * headDim + 2 * valueDim);
    rows = Math.min(rows, multiple(ITEM_FLOPS / Math.max(1, perRow)));
  }
  // regions of about the same size
  return Math.min(rows, Math.ceil(lengthQ / Math.ceil(lengthQ / rows) / 256) * 256);
}

/** Sums of captured arrays, which each head of a region and each KV split has for itself, up to this size. */
const CAPTURED_BYTES = 16 * MiB;

/** Most kv heads of a region, over all its batch elements. */
function mostHeads({ captured, queryHeads, kvHeads }: AttentionProblem): number {
  const bytes = 4 * captured * (queryHeads / kvHeads);
  return captured === 0 ? Infinity : Math.max(1, Math.floor(CAPTURED_BYTES / bytes));
}

/** Whether a gradient has rows that several heads may share. */
function sharesGradientRows({ pass, operands }: AttentionProblem): boolean {
  return pass === "backward" &&
    gradientsOf(operands).some((name) => OPERANDS[name].summed && follows(name) === "scores");
}

/** The regions of a problem, in the order in which they are staged. */
export function regionsOf(
  problem: AttentionProblem,
  kernel: KernelName,
  limits?: RegionLimits,
): Region[] {
  if (problem.documents) return documentRegions(problem, problem.documents, limits);
  return regionsBySequence(
    problem,
    (problem) => limits ? smallRegions(problem, kernel, limits) : batchRegions(problem, kernel),
  );
}

/** Bytes of a region of documents: their rows, and what is returned of them. */
const DOCUMENT_BYTES = 4 * MiB;

/** Regions of whole documents, with all queries of all sets. */
function documentRegions(
  problem: AttentionProblem,
  starts: readonly number[],
  limits?: RegionLimits,
): Region[] {
  const { operands, queryHeads, lengthQ, lengthK, headDim } = problem, regions: Region[] = [];
  const most = limits ? Math.min(DOCUMENT_BYTES, limits.whole) : DOCUMENT_BYTES;
  const row = inPlace(problem, "k", operands.k!) ? 0 : 4 * headDim;
  const document = 4 * queryHeads * (lengthQ + 1), count = starts.length - 1;
  for (let begin = 0, end = 0; begin < count && queryHeads > 0; begin = end) {
    let bytes = 0;
    do {
      bytes += document + row * (starts[end + 1]! - starts[end]!);
      end++;
    } while (end < count && bytes < most);
    const all = { batchBegin: 0, batchEnd: 1, kvHeadBegin: 0, kvHeadEnd: 1 };
    const rows = { rowBegin: 0, rowEnd: lengthQ, keyBegin: 0, keyEnd: lengthK };
    regions.push({ ...all, ...rows, documents: [begin, end] });
  }
  return regions;
}

function batchRegions(problem: AttentionProblem, kernel: KernelName): Region[] {
  const { batch, kvHeads, lengthQ, lengthK } = problem;
  const regions: Region[] = [];
  if (batch === 0 || kvHeads === 0 || problem.queryHeads === 0) return regions;
  const { row, keys } = groupBytes(problem), rows = rowsOfRegion(problem, kernel, row);
  const one = row * lengthQ + keys, slab = one * kvHeads;
  // heads of a region may be computed at the same time, and they may share rows that are summed
  const alone = sharesGradientRows(problem);
  let heads = Math.max(1, Math.floor(REGION_BYTES / Math.max(1, one)));
  if (one === 0 || (!contiguousHeads(problem) && slab <= SLAB_BYTES)) heads = kvHeads;
  if (alone) heads = 1;
  const most = mostHeads(problem);
  heads = Math.min(heads, kvHeads, most);
  let batches = 1;
  if (one === 0 && !alone) batches = batch;
  else if (rows >= lengthQ && (alone || heads === kvHeads)) {
    batches = Math.max(1, Math.floor(REGION_BYTES / Math.max(1, alone ? one : slab)));
  }
  batches = Math.min(batches, Math.max(1, Math.floor(most / heads)));
  for (let b = 0; b < batch; b += batches) {
    for (let h = 0; h < kvHeads; h += heads) {
      for (let r = 0; r < Math.max(1, lengthQ); r += Math.max(1, rows)) {
        regions.push({
          batchBegin: b,
          batchEnd: Math.min(batch, b + batches),
          kvHeadBegin: h,
          kvHeadEnd: Math.min(kvHeads, h + heads),
          rowBegin: r,
          rowEnd: Math.min(lengthQ, r + rows),
          keyBegin: 0,
          keyEnd: lengthK,
        });
      }
    }
  }
  return regions;
}

/**
 * The regions of a problem where memory is short: one kv head each, and no more rows and keys than the limits say. Forward
 * takes all keys of its rows before the next rows, backward all rows of its keys before the next keys.
 */
function smallRegions(
  problem: AttentionProblem,
  kernel: KernelName,
  limits: RegionLimits,
): Region[] {
  const { batch, kvHeads, lengthQ, lengthK, queryHeads } = problem, regions: Region[] = [];
  if (queryHeads === 0) return regions;
  const inChunks = kernel === "forward" || kernel === "backward";
  const keys = Math.max(1, inChunks ? Math.min(lengthK, limits.keys) : lengthK);
  const { row } = groupBytes(problem);
  const rows = Math.max(
    1,
    Math.min(limits.rows, rowsOfRegion({ ...problem, lengthK: keys }, kernel, row)),
  );
  const of = (n: number, size: number) =>
    Array.from({ length: Math.max(1, Math.ceil(n / size)) }, (_, i) => i * size);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < kvHeads; h++) {
      const one = { batchBegin: b, batchEnd: b + 1, kvHeadBegin: h, kvHeadEnd: h + 1 };
      const add = (r: number, k: number) =>
        regions.push({
          ...one,
          ...{ rowBegin: r, rowEnd: Math.min(lengthQ, r + rows) },
          ...{ keyBegin: k, keyEnd: Math.min(lengthK, k + keys) },
        });
      if (kernel === "backward") {
        for (const k of of(lengthK, keys)) for (const r of of(lengthQ, rows)) add(r, k);
      } else {
        for (const r of of(lengthQ, rows)) for (const k of of(lengthK, keys)) add(r, k);
      }
    }
  }
  return regions;
}
