// Operands: tensors with their axes named. A view says where element (batch, head, row, column) of a
// tensor lies, whatever the layout or strides it came with; everything after validation speaks views.
import { arrayKind, BYTES, type DType } from "./dtype.ts";
import { type Complaint, show } from "./errors.ts";
import {
  checkDType,
  checkExtent,
  checkShape,
  checkStrides,
  type GivenTensor,
  isDisposed,
  readOnce,
} from "./given.ts";
import { type OperandName, type OperandRow, OPERANDS } from "./operands.ts";
import { rowMajor } from "./shape.ts";
import { CachedRows } from "./cached_rows.ts";
import type { PageTable } from "./pages.ts";
import { type AnyTensor, isResident } from "./tensor.ts";

/** Sizes or element strides of [batch, head, row, column], while they are being filled in. */
export type MutableAxes = [number, number, number, number];
/** Sizes or element strides of [batch, head, row, column]. */
export type Axes = Readonly<MutableAxes>;

/** The place of an axis among them. */
export type AxisIndex = 0 | 1 | 2 | 3;
/** The places of all axes. */
export const AXIS_INDICES: readonly AxisIndex[] = [0, 1, 2, 3];

/** A number for each axis. */
export function forAxes(value: (axis: AxisIndex) => number): MutableAxes {
  return [value(0), value(1), value(2), value(3)];
}

/** Where the elements of one operand lie. Plain data; the tensor itself is kept beside it. */
export interface OperandSpec {
  readonly dtype: DType;
  readonly size: Axes;
  /** In elements; the stride of a column is 1. */
  readonly strides: Axes;
  readonly resident: boolean;
  /** Where its rows lie in a cache: the stride of a sequence is then that of a page. */
  readonly pages?: PageTable | undefined;
}

/** An operand with its tensor. */
export interface View extends OperandSpec {
  readonly name: OperandName;
  /** Where it begins in its tensor, in elements: 0 unless the call takes a part of it. */
  readonly offset: number;
  readonly tensor: GivenTensor;
}

/** Where an index lies, in elements from index 0. */
export function placeOf(index: Axes, strides: Axes): number {
  return index[0] * strides[0] + index[1] * strides[1] + index[2] * strides[2] +
    index[3] * strides[3];
}

/** Bytes of one element of an operand. */
export function elementBytes(spec: Pick<OperandSpec, "dtype">): number {
  return BYTES[spec.dtype];
}

/** A tensor as it was when it was looked at. */
interface Facts {
  readonly tensor: GivenTensor;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly resident: boolean;
}

/** What to try where a rank is that of the other kind of side. */
function packedHint(name: OperandName, rank: number): string {
  const { shape, axes } = OPERANDS[name];
  if (shape !== "layout" && shape !== "rows") return "";
  const option = axes.includes("key") ? "cuSeqlensK" : "cuSeqlensQ";
  const axesOf = shape === "layout" ? "[rows, heads, dim]" : "[heads, rows]";
  if (rank === PACKED_RANKS[shape]) return ` (sequences that are packed need ${option})`;
  return rank === RANKS[shape][0] ? ` (${option} says that it is packed, ${axesOf})` : "";
}

/** What a tensor says about itself, checked; `ranks` undefined for tensors that broadcast. `name`: in errors. */
function facts(
  operand: OperandName,
  given: GivenTensor,
  ranks: readonly number[] | undefined,
  complaint: Complaint,
  name: string,
): Facts {
  if (typeof given !== "object" || given === null) {
    throw complaint.type(`${name} is ${show(given)} but must be a tensor { data, shape }`);
  }
  const tensor = readOnce(given);
  if (tensor instanceof CachedRows) {
    throw complaint.type(
      `${name} is the ${tensor.part} of a cache but only k and v of a call may be`,
    );
  }
  const shape = checkShape(name, tensor.shape, complaint);
  if (ranks && !ranks.includes(shape.length)) {
    const wanted = ranks.join(" or ");
    throw complaint.type(
      `${name} has rank ${shape.length}, shape ${show(shape)}, but rank ${wanted} was wanted` +
        (name === operand ? packedHint(operand, shape.length) : ""),
    );
  }
  if (!("data" in tensor)) {
    if (!isResident(tensor as AnyTensor)) {
      throw complaint.type(`${name} is ${show(tensor)} but must be a tensor { data, shape }`);
    }
    if (isDisposed(tensor as AnyTensor, name, complaint)) {
      throw complaint.type(`${name} was disposed but must be a live tensor`);
    }
    if (tensor.dtype === "bool" && OPERANDS[operand].dtype !== "bool") {
      throw complaint.type(`${name} has dtype "bool" but must hold numbers`);
    }
    return { tensor, dtype: tensor.dtype, shape, strides: rowMajor(shape), resident: true };
  }
  const { data } = tensor;
  if (OPERANDS[operand].dtype === "bool") {
    if (arrayKind(data) !== "Uint8Array") {
      throw complaint.type(`${name}.data is ${show(data)} but must be a Uint8Array`);
    }
    const strides = checkStrides(name, tensor.strides, shape, complaint);
    checkExtent(name, data as Uint8Array, shape, strides, complaint);
    return { tensor: { ...tensor, shape }, dtype: "bool", shape, strides, resident: false };
  }
  const dtype = checkDType(name, tensor, complaint);
  const strides = checkStrides(name, tensor.strides, shape, complaint);
  checkExtent(name, data as Float32Array, shape, strides, complaint);
  return { tensor: { ...tensor, shape }, dtype, shape, strides, resident: false };
}

/** For each of [batch, head, row, column], its axis of a tensor of so many axes; below 0 where it has none. */
export function tensorAxes(
  name: OperandName,
  rank: number,
  layout: "bshd" | "bhsd",
): Axes {
  switch (OPERANDS[name].shape) {
    case "layout":
      if (rank === PACKED_RANKS.layout) return [-1, 1, 0, 2];
      return layout === "bshd" ? [0, 2, 1, 3] : [0, 1, 2, 3];
    case "rows":
      return rank === PACKED_RANKS.rows ? [-1, 0, 1, -1] : [0, 1, 2, -1];
    case "heads":
      return [rank - 2, rank - 1, -1, -1];
    case "axes":
    case "broadcast":
      return [rank - 4, rank - 3, rank - 2, rank - 1];
  }
}

const RANKS = { layout: [4], rows: [3], heads: [1, 2], broadcast: undefined, axes: [4] };
const ONE_RANK = [1];
/** Of operands without a batch axis: [rows, heads, columns] and [heads, rows]. */
const PACKED_RANKS = { layout: 3, rows: 2 };

/** Ranks that a tensor of an operand may have; undefined: any up to 4. `packed`: its sequences are. */
function ranksOf({ shape, axes }: OperandRow, packed: boolean): readonly number[] | undefined {
  if (packed && (shape === "layout" || shape === "rows")) return [PACKED_RANKS[shape]];
  return shape === "heads" && axes[0] === "one" ? ONE_RANK : RANKS[shape];
}

/** The rank of a result. */
export function rankOf(name: OperandName, packed: boolean): number {
  return ranksOf(OPERANDS[name], packed)?.at(-1) ?? 4;
}

/** A view of a tensor [rows, columns], or [heads, rows, columns], as an operand. `called`: its name in errors. */
export function viewRows(
  name: OperandName,
  given: AnyTensor,
  ranks: readonly number[],
  complaint: Complaint,
  called: string,
): View {
  const { tensor, dtype, shape, strides, resident } = facts(name, given, ranks, complaint, called);
  const rank = shape.length, heads = rank === 3;
  const size: Axes = [1, heads ? shape[0]! : 1, shape[rank - 2]!, shape[rank - 1]!];
  const own: Axes = [0, heads ? strides[0]! : 0, strides[rank - 2]!, 1];
  return { name, tensor, dtype, resident, size, strides: own, offset: 0 };
}

/** An operand's view of a tensor, its axes named; axes that it lacks have size 1. `called`: its name in errors. */
export function viewOperand(
  name: OperandName,
  given: GivenTensor,
  layout: "bshd" | "bhsd",
  complaint: Complaint,
  packed = false,
  called: string = name,
): View {
  const row = OPERANDS[name], ranks = ranksOf(row, packed);
  const { tensor, dtype, shape, strides, resident } = facts(name, given, ranks, complaint, called);
  if ((row.dtype === "f32" || row.dtype === "bool") && dtype !== row.dtype) {
    throw complaint.type(`${name} has dtype ${show(dtype)} but must be ${show(row.dtype)}`);
  }
  const axes = tensorAxes(name, shape.length, layout);
  const size: MutableAxes = [1, 1, 1, 1];
  // what repeats has stride 0; a row without columns is one column wide
  const stride: MutableAxes = [0, 0, 0, row.shape === "broadcast" ? 0 : 1];
  for (const n of AXIS_INDICES) {
    const axis = axes[n];
    if (axis < 0) continue;
    size[n] = shape[axis]!;
    if (row.shape !== "broadcast" || shape[axis] !== 1) stride[n] = strides[axis]!;
  }
  return { name, tensor, dtype, resident, size, strides: stride, offset: 0 };
}
