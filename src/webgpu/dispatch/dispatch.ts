// A step: one dispatch as data: kernel, buffers, parameters, workgroups. What runs and in which order is read in
// forward_steps.ts and backward_steps.ts; how it gets to the device is in submit.ts.
import type { ParamValues } from "../../../shaders/parts/params.ts";
import { geometry } from "../../../shaders/abi.ts";
import type { Variant } from "../../../shaders/parts/variant.ts";
import type { GpuItem } from "../../plan/webgpu/work_items.ts";
import type { ChosenTile } from "../../plan/webgpu/tiles.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { Kernel } from "../device/pipelines.ts";
import type { Slice } from "./slices.ts";

/** A range of a buffer that a shader sees. */
export interface Bound {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly size: number;
}

/** One dispatch. */
export interface Step {
  readonly kernel: Kernel;
  /** By binding number; those that the shader does not declare are left out. */
  readonly bindings: Readonly<Record<number, Bound | undefined>>;
  readonly params: ParamValues;
  /** Workgroups; x may be cut into several dispatches, which `item_base` tells apart. */
  readonly x: number;
  readonly y: number;
  readonly z: number;
  /** Operations, to cut long work. */
  readonly flops: number;
}

/** What all steps of a window share. */
export interface WindowPlaces {
  readonly params: ParamValues;
  readonly tables: Bound;
  readonly q: Slice;
  readonly k: Slice;
  readonly v: Slice;
  readonly bias?: Slice;
  /** Strides of the mask, whose bytes are in `tables`. */
  readonly mask?: Slice;
  readonly batch: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** Workgroups that fill the device. */
  readonly wantedWorkgroups: number;
  /** Whether no workgroup may take many rows in turn. */
  readonly fewRows: boolean;
}

/** What a variant takes from the call. */
export type CallVariant = Pick<Variant, "kinds" | "grouped" | "softcap" | "bias" | "mask">;

/** The range that a slice is. */
export const bound = ({ buffer, offset, size }: Slice): Bound => ({ buffer, offset, size });

/** A whole buffer of scratch. */
export function wholeBuffer(buffer: GpuBuffer, size: number = buffer.size): Bound {
  return { buffer, offset: 0, size: Math.ceil(size / 4) * 4 };
}

/** Address parameters of an operand. */
export function address(name: string, { at, strides }: Slice): ParamValues {
  return {
    [`${name}_at`]: at,
    [`${name}_batch`]: strides[0],
    [`${name}_head`]: strides[1],
    [`${name}_row`]: strides[2],
  };
}

/** The parameters of bias and mask, whose axes of one repeat. */
export function scoreParams({ bias, mask }: WindowPlaces): ParamValues {
  return {
    ...(bias && { ...address("bias", bias), bias_column: bias.strides[3] }),
    ...(mask && { ...address("mask", mask), mask_column: mask.strides[3] }),
  };
}

/** A variant of a tile. */
export function variantOf(
  call: CallVariant,
  chosen: ChosenTile,
  w: Pick<WindowPlaces, "headDim" | "valueDim">,
): Variant {
  const { tile, blockChunks } = chosen, g = geometry(tile);
  return {
    ...call,
    tile,
    headChunks: Math.ceil(w.headDim / g.chunk),
    valueChunks: Math.ceil(w.valueDim / g.chunk),
    blockChunks,
  };
}

/** A variant of a kernel that has no tile: the smallest stands for it in the key. */
export function untiled(call: CallVariant): Variant {
  const tile = { nx: 1, ny: 1, tm: 1, tn: 4, chunk: 4, unroll: 1 };
  return { ...call, tile, headChunks: 0, valueChunks: 0, blockChunks: 0 };
}

/** Visible pairs of all items, of one query head. */
export function pairs(items: readonly GpuItem[]): number {
  return items.reduce((sum, item) => sum + item.pairs, 0);
}
