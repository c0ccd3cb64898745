// How a problem is computed on a GPU: kernels, tiles, windows of the tensors, and the work items of each
// kernel as data. A pure function of problem and target.
import { decodeBlock, type DecodeShape } from "../../../shaders/abi.ts";
import { geometry } from "../../../shaders/abi.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { WebGpuTarget } from "../target.ts";
import { type Box, boxWindows } from "./regions.ts";
import { type Cost, problemCost } from "../cost.ts";
import { decodeItems, forwardItems, type GpuItem, keyTileItems, localSpans } from "./work_items.ts";
import type { KernelName } from "../kernel.ts";
import {
  chooseTile,
  type ChosenTile,
  decodeShape,
  longestStream,
  wantedWorkgroups,
} from "./tiles.ts";

/** A part of the tensors that is bound at once, and the work on it. */
export interface GpuWindow extends Box {
  /** Whether an earlier window holds other keys of the same queries, or other queries of the same keys. */
  readonly moreKeys: boolean;
  readonly moreRows: boolean;
  /** Key ranges that are computed apart and then merged. */
  readonly parts: number;
  /** Tiles of query rows (forward, decode, dQ), and tiles of keys (dK/dV). */
  readonly rowItems: readonly GpuItem[];
  readonly keyItems: readonly GpuItem[];
}

/** How a problem is computed. */
export interface GpuPlan {
  readonly kernel: KernelName;
  readonly forward?: ChosenTile;
  readonly decode?: DecodeShape;
  readonly dq?: ChosenTile;
  readonly dkv?: ChosenTile;
  readonly dbias?: ChosenTile;
  readonly windows: readonly GpuWindow[];
  readonly cost: Cost;
}

/** Keys below which a part of a tile's keys is not worth its merge. */
const FORWARD_PART = 512;
const DECODE_PART = 256;
/** Parts that a merge still reads quickly. */
const MOST_PARTS = 64;

/** Key parts so that `tiles` of each part fill the device. */
function keyParts(tiles: number, lengthK: number, least: number, target: WebGpuTarget): number {
  const wanted = Math.ceil(wantedWorkgroups(target) / Math.max(1, tiles));
  return Math.max(1, Math.min(wanted, Math.floor(lengthK / least), MOST_PARTS));
}

/** Plans a problem for a GPU. */
export function planWebGpu(problem: AttentionProblem, target: WebGpuTarget): GpuPlan {
  const cost = problemCost(problem), { headDim, valueDim, lengthQ, kvHeads, pass } = problem;
  const group = problem.queryHeads / Math.max(1, kvHeads);
  const needs = { headDim, valueDim, flops: cost.flops };
  const stream = longestStream(problem, target);
  const boxes = boxWindows(problem, { ...target.limits, stream });
  // dK and dV of a box continue those of boxes before it with other queries or other heads
  const more = (box: Box) => ({
    moreKeys: box.keyBegin > 0,
    moreRows: box.rowBegin > 0 || box.groupBegin > 0,
  });
  const bias = problem.operands.bias !== undefined;
  if (pass === "backward") {
    const dq = chooseTile("dq", needs, target);
    const apart = bias && target.limits.storageBuffers < 9;
    const dkv = chooseTile("dkv", { ...needs, apart }, target);
    const dbias = bias ? chooseTile("dbias", needs, target) : undefined;
    const windows = boxes.map((box): GpuWindow => {
      const spans = localSpans(problem, box), group = box.groupEnd - box.groupBegin;
      return {
        ...box,
        ...more(box),
        parts: 1,
        rowItems: forwardItems(box, spans, group, geometry(dq.tile).rows, 1),
        keyItems: keyTileItems(box, spans, group, geometry(dkv.tile).rows),
      };
    });
    return { kernel: "backward", dq, dkv, dbias, windows, cost };
  }
  // a decode kernel is made for all rows of a group
  const whole = boxes.every((box) =>
    box.rowEnd - box.rowBegin === lengthQ && box.groupEnd - box.groupBegin === group
  );
  const decode = whole ? decodeShape({ lengthQ, group, headDim, valueDim }, target) : undefined;
  const forward = decode ? undefined : chooseTile("forward", needs, target);
  const windows = boxes.map((box): GpuWindow => {
    const spans = localSpans(problem, box), group = box.groupEnd - box.groupBegin;
    const heads = (box.batchEnd - box.batchBegin) * (box.kvHeadEnd - box.kvHeadBegin);
    const keys = box.keyEnd - box.keyBegin, rows = (box.rowEnd - box.rowBegin) * group;
    const tile = forward ? geometry(forward.tile).rows : rows;
    const tiles = heads * Math.max(1, Math.ceil(rows / tile));
    const parts = keyParts(tiles, keys, decode ? DECODE_PART : FORWARD_PART, target);
    return {
      ...box,
      ...more(box),
      parts,
      rowItems: decode
        ? decodeItems(box, spans, parts, decodeBlock(decode))
        : forwardItems(box, spans, group, tile, parts),
      keyItems: [],
    };
  });
  return { kernel: decode ? "decode" : "forward", forward, decode, windows, cost };
}
