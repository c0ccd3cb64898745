// A step: one dispatch as data: kernel, buffers, parameters, workgroups. What runs and in which order is planned
// (src/plan/webgpu/steps.ts); how it gets to the device is in submit.ts.
import type { ParamValues } from "../../../shaders/features/params.ts";
import { programOf } from "../../../shaders/expression/program.ts";
import { SHADER_FEATURES } from "../../../shaders/features/table.ts";
import { kindName, type StorageKind } from "../../../shaders/parts/storage.ts";
import { isScheduled } from "../../plan/webgpu/regions.ts";
import type { FeatureName } from "../../problem/features/feature.ts";
import { feature } from "../../problem/features/table.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { ADDRESS_FIELDS, type AddressedName } from "../../../shaders/parts/address.ts";
import type { BufferName } from "../../../shaders/parts/bindings.ts";
import type { FeatureText, Variant } from "../../../shaders/parts/variant.ts";
import type { ChosenTile } from "../../plan/webgpu/tiles.ts";
import type { GpuItem } from "../../plan/webgpu/work_items.ts";
import type { ResultSpec } from "../../problem/results.ts";
import type { OperandName } from "../../tensor/operands.ts";
import type { Axes } from "../../tensor/view.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { Kernel } from "../device/pipelines.ts";
import type { BufferView } from "./views.ts";

/** A range of a buffer that a shader sees. */
export interface Bound {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Buffers by name; those that a shader does not declare are left out. */
export type Bindings = { readonly [name in BufferName]?: Bound };

/** One dispatch. */
export interface Step {
  readonly kernel: Kernel;
  readonly bindings: Bindings;
  readonly params: ParamValues;
  /** Workgroups; x may be cut into several dispatches, which `item_base` tells apart. */
  readonly x: number;
  readonly y: number;
  readonly z: number;
  /** Operations, to cut long work. */
  readonly flops: number;
}

/** What a variant takes from the call. */
export type CallVariant = Pick<Variant, "kinds" | "grouped" | "features" | "statistics">;

/** A result while it is made: in f32, and where it is in the end. */
export interface MadeResult {
  readonly spec: ResultSpec;
  /** Where the result ends up. */
  readonly buffer: GpuBuffer;
  /** Where it is computed: `buffer`, or scratch when it is narrowed from there. */
  readonly work: GpuBuffer;
  /** Where `work` is a window: the element of the result that lies at its begin. */
  readonly first?: number;
}

/** Sizes of a region. */
export interface RegionSizes {
  readonly batch: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
}

/** The range that a view is. */
export const bound = ({ buffer, offset, size }: BufferView): Bound => ({ buffer, offset, size });

/** A whole buffer of scratch. */
export function wholeBuffer(buffer: GpuBuffer, size: number = buffer.size): Bound {
  return { buffer, offset: 0, size: Math.max(16, Math.ceil(size / 4) * 4) };
}

/** Address parameters of an operand; axes of one repeat. */
export function address(
  name: AddressedName,
  { at, strides }: { readonly at: number; readonly strides: Axes },
): ParamValues {
  const [first, ...axes] = ADDRESS_FIELDS.get(name)!, params: Record<string, number> = {};
  params[first!] = at;
  axes.forEach((axis, n) => params[axis] = strides[n]!);
  return params;
}

/** The features of a problem that kernels act on, with what their texts depend on; `kindOf`: how operands lie. */
export function variantFeatures(
  { features }: AttentionProblem,
  kindOf: (name: OperandName) => StorageKind,
): Variant["features"] {
  const known = features.filter(({ name }) => SHADER_FEATURES.some((made) => made.name === name));
  return new Map(known.map(({ name, params }): [FeatureName, FeatureText] => {
    const { operands, traced } = feature(name),
      operand = operands?.find((one) => !isScheduled(one));
    if (traced) return [name, programOf(traced(params))];
    // operands of features are read element by element
    return [name, operand ? kindName({ ...kindOf(operand), scalar: true }) : ""];
  }));
}

/** A variant of a tile. */
export function variantOf(
  call: CallVariant,
  { tile, blockChunks }: ChosenTile,
  { headDim, valueDim }: Pick<RegionSizes, "headDim" | "valueDim">,
): Variant {
  return {
    ...call,
    tile,
    headChunks: Math.ceil(headDim / tile.chunk),
    valueChunks: Math.ceil(valueDim / tile.chunk),
    blockChunks,
  };
}

/** A variant of a kernel that has no tile: the smallest stands for it in the key. */
export function untiled(call: CallVariant): Variant {
  const tile = { nx: 1, ny: 1, tm: 1, tn: 4, chunk: 4, depth: 4, unroll: 1 };
  return { ...call, tile, headChunks: 0, valueChunks: 0, blockChunks: 0 };
}

/** Visible pairs of all items, of one query head. */
export function pairs(items: readonly GpuItem[]): number {
  return items.reduce((sum, item) => sum + item.pairs, 0);
}
