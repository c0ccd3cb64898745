import { type BlockMaskSizes, blocksOf, type Traced } from "../../expression/traced.ts";
import { type Complaint, show } from "../../tensor/errors.ts";
import type { AxisSizes } from "../../tensor/operands.ts";
import { lengthOf } from "../packing.ts";
import type { Feature } from "./feature.ts";
import { keyLengths as keyLengthsOf } from "./key_lengths.ts";

const AXES = ["batch", "queryHeads", "kvHeads"] as const;

/** Throws unless the lengths of a side are all what the mask was made for. */
function checkLengths(
  name: "lengthQ" | "lengthK",
  made: number,
  lengths: readonly number[],
  complaint: Complaint,
): void {
  const index = lengths.findIndex((length) => length !== made);
  if (index < 0) return;
  const where = lengths.length > 1 ? ` of sequence ${index}` : "";
  throw complaint.range(
    `blockMask was made for ${name} ${made} but the call has ${name} ${lengths[index]}${where}: ` +
      "make one for these lengths",
  );
}

/** How many rows a side of each sequence has. */
function lengthsOf(side: "queries" | "keys", dims: AxisSizes): number[] {
  const packed = dims.packed?.[side], whole = side === "queries" ? dims.lengthQ : dims.lengthK;
  if (!packed) return [whole];
  return Array.from({ length: dims.batch }, (_, index) => lengthOf(packed, index));
}

/** Throws unless a call has the sizes that a block mask was made for. */
function checkSizes(
  sizes: BlockMaskSizes,
  dims: AxisSizes,
  inUse: readonly number[] | undefined,
  complaint: Complaint,
): void {
  checkLengths("lengthQ", sizes.lengthQ, lengthsOf("queries", dims), complaint);
  // a mask for the keys in use is as good as one for all of them
  const all = inUse !== undefined && inUse.every((length) => length === sizes.lengthK);
  if (!all) checkLengths("lengthK", sizes.lengthK, lengthsOf("keys", dims), complaint);
  for (const axis of AXES) {
    const made = sizes[axis];
    if (made === undefined || made === dims[axis]) continue;
    throw complaint.range(
      `blockMask was made for ${axis} ${made} but the call has ${axis} ${dims[axis]}: ` +
        `pass ${axis}: ${dims[axis]} to createBlockMask`,
    );
  }
}

/** Block mask: to kernels it is a mask function, whose verdicts about tiles were found beforehand. */
export const blockMask: Feature<Traced> = {
  name: "blockMask",
  stage: "hide",
  source: "PyTorch FlexAttention BlockMask, FlashAttention block-sparse",
  elsewhere: ["block_mask", "blockmask", "block_sparse_tensors"],
  perScore: true,
  runsAs: "maskMod",
  parse(options, dims, complaint) {
    const { blockMask } = options;
    if (blockMask === undefined) return undefined;
    const blocks = blocksOf(blockMask);
    if (!blocks) {
      throw complaint.type(
        `blockMask is ${show(blockMask)} but must be what createBlockMask() or ` +
          "blockMaskFromLists() returns",
      );
    }
    if (options.maskMod !== undefined) {
      throw complaint.type(
        "maskMod and blockMask are both given but only one of them can be: make a block mask of " +
          "both conditions, joined with and()",
      );
    }
    checkSizes(blocks.sizes, dims, keyLengthsOf.parse(options, dims, complaint), complaint);
    return blocks.traced;
  },
};
