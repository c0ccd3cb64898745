// attn_mask: bytes that show pairs, or floats that are added to their scores.
import { arrayKind } from "../tensor/dtype.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import type { HostTensor, MaskTensor } from "../tensor/tensor.ts";
import { checkExtent, checkStrides, readOnce } from "../tensor/given.ts";
import { checkHost, type Operand, readFloats } from "./operand.ts";
import type { OnnxOpset } from "./options.ts";

/** A boolean `attn_mask`, one byte for each pair: 1 = may attend. */
export interface OnnxBooleanMask extends MaskTensor {
  /** May be said. */
  readonly dtype?: "bool" | undefined;
}

/** A mask, checked: as the option of a call that means the same. */
export interface Mask {
  readonly option: { readonly mask: MaskTensor } | { readonly bias: HostTensor };
  /** How many keys it tells about: those behind them are hidden. */
  readonly keys: number;
}

/** What a mask broadcasts to. */
export type PairSizes = readonly [batch: number, heads: number, queries: number, keys: number];

/** Throws unless a mask of this shape broadcasts. Returns the keys that it tells about. */
function checkBroadcast(
  shape: readonly number[],
  full: PairSizes,
  opset: OnnxOpset,
  complaint: Complaint,
): number {
  if (shape.length < 1 || shape.length > 4) {
    throw complaint.type(
      `attn_mask has rank ${shape.length}, shape ${show(shape)}, but a rank from 1 to 4 was wanted`,
    );
  }
  const keys = full[3], width = shape.at(-1)!, wanted = full.slice(4 - shape.length);
  const shorter = opset === 24 && width < keys;
  const fits = shape.every((size, axis) =>
    size === 1 || size === wanted[axis] || (shorter && axis === shape.length - 1)
  );
  if (!fits) {
    const about = opset === 24
      ? "its last axis may be shorter"
      : "opset 24 lets its last axis be shorter";
    throw complaint.range(
      `attn_mask has shape ${show(shape)} but must broadcast to [batch_size, q_num_heads, ` +
        `q_sequence_length, total_sequence_length] = ${show([...full])} (${about})`,
    );
  }
  // an axis of 1 repeats, but in opset 24 it is one that is shorter: what it does not reach is hidden
  return shorter ? width : keys;
}

/** The bytes of a boolean mask; undefined where it is none. */
function readBytes(
  given: HostTensor | OnnxBooleanMask,
  shape: readonly number[],
  complaint: Complaint,
): MaskTensor | undefined {
  const { data, dtype } = given;
  if (arrayKind(data) !== "Uint8Array") return undefined;
  if (dtype !== undefined && dtype !== "bool") {
    throw complaint.type(`attn_mask.dtype is ${show(dtype)} but a Uint8Array holds "bool"`);
  }
  const strides = checkStrides("attn_mask", given.strides, shape, complaint);
  checkExtent("attn_mask", data as Uint8Array, shape, strides, complaint);
  return { data: data as Uint8Array, shape, strides };
}

/** Checks `attn_mask` against the pairs of the call. */
export function readMask(
  tensor: HostTensor | OnnxBooleanMask,
  { name, dtype: wanted }: Operand,
  full: PairSizes,
  opset: OnnxOpset,
  complaint: Complaint,
): Mask {
  const shape = checkHost("attn_mask", tensor, complaint);
  const given = readOnce(tensor as HostTensor) as HostTensor,
    mask = readBytes(given, shape, complaint);
  if (mask) return { option: { mask }, keys: checkBroadcast(shape, full, opset, complaint) };
  const bias = readFloats("attn_mask", given, complaint);
  if (bias.dtype !== wanted) {
    throw complaint.type(
      `attn_mask has dtype ${show(bias.dtype)} but ${name} has ${show(wanted)}: ` +
        "bytes (a boolean mask) or floats of that type were wanted",
    );
  }
  return { option: { bias }, keys: checkBroadcast(shape, full, opset, complaint) };
}
