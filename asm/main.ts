// What the host calls: run one work item; how much scratch an item needs; conversions of storage types and rotations
// of rows, as operands come in and results leave.
import { Item, Kernel } from "./abi";
import { backwardItem, backwardScratch } from "./kernels/backward";
import { narrow, widen } from "./micro/convert";
import { decodeItem, decodeScratch } from "./kernels/decode";
import { summarizeBlocks } from "./features/blocks";
import { forwardItem, forwardScratch } from "./kernels/forward";
import { insideItem, insideScratch } from "./kernels/inside";
import { combineItem, reduceDqItem } from "./kernels/combine";
import { maxSimGradient, maxSimItem, maxSimScratch } from "./kernels/max_sim";
import { rotate } from "./kernels/rotate";
import { storeRows } from "./kernels/store";
import { probeApart, probeFours, probeNeighbours } from "./micro/tiles.gen";

export {
  backwardScratch, decodeScratch, forwardScratch, insideScratch, maxSimGradient, maxSimScratch, narrow, probeApart, probeFours, probeNeighbours,
  rotate, storeRows, summarizeBlocks, widen,
};

/** 1 in the build whose products and sums are fused. */
export function relaxed(): i32 {
  return ASC_FEATURE_RELAXED_SIMD ? 1 : 0;
}

/**
 * Runs the item whose address is at `ticket`, with the scratch whose address is at `scratch`; returns
 * its region. For workers: in JavaScript their view of a memory that another thread grew may be old.
 */
export function runTicket(ticket: usize, scratch: usize): i32 {
  const item = load<usize>(ticket);
  run(item, load<usize>(scratch));
  return load<i32>(item, Item.Region);
}

/** Runs one work item with `ws` as this thread's scratch. */
export function run(item: usize, ws: usize): void {
  const kernel = load<i32>(item, Item.Kernel);
  if (kernel == Kernel.Forward) forwardItem(item, ws);
  else if (kernel == Kernel.Backward) backwardItem(item, ws);
  else if (kernel == Kernel.Decode) decodeItem(item, ws);
  else if (kernel == Kernel.Combine) combineItem(item, ws);
  else if (kernel == Kernel.ReduceDq) reduceDqItem(item);
  else if (kernel == Kernel.MaxSim) maxSimItem(item, ws);
  else insideItem(item, ws);
}
