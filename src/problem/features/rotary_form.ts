// What rotary options say about angles, checked: the same in calls and in what rotates a tensor alone.
import { arrayKind } from "../../tensor/dtype.ts";
import { widened } from "../../tensor/convert.ts";
import { type Complaint, show, UnsupportedError } from "../../tensor/errors.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { checkDType, checkExtent, checkShape, checkStrides, readOnce } from "../../tensor/given.ts";
import type { RotaryAngles } from "../call_options.ts";
import type { RotaryForm, RotaryTables } from "./rotary_table.ts";

/** Names of the options. */
export const ANGLE_NAMES: readonly (keyof RotaryAngles)[] = [
  "base",
  "dims",
  "interleaved",
  "cos",
  "sin",
];

/** Throws unless `value` is a boolean; undefined counts as `otherwise`. */
export function checkBoolean(
  name: string,
  value: unknown,
  otherwise: boolean,
  complaint: Complaint,
): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== "boolean") {
    throw complaint.type(`${name} is ${show(value)} but must be a boolean`);
  }
  return value;
}

function checkDims(name: string, dims: unknown, headDim: number, complaint: Complaint): number {
  if (dims === undefined) {
    if (headDim % 2 === 0) return headDim;
    throw complaint.range(
      `${name} is undefined but headDim ${headDim} is odd: pass an even integer below it`,
    );
  }
  const wanted = `an even integer from 2 to headDim = ${headDim}`;
  if (typeof dims !== "number") {
    throw complaint.type(`${name} is ${show(dims)} but must be ${wanted}`);
  }
  if (!(Number.isSafeInteger(dims) && dims % 2 === 0 && dims >= 2 && dims <= headDim)) {
    throw complaint.range(`${name} is ${dims} but must be ${wanted}`);
  }
  return dims;
}

function checkBase(name: string, base: unknown, complaint: Complaint): number {
  if (base === undefined) return 10000;
  if (typeof base !== "number") {
    throw complaint.type(`${name} is ${show(base)} but must be a positive number`);
  }
  if (!(base > 0 && base < Infinity)) {
    throw complaint.range(`${name} is ${base} but must be a positive finite number`);
  }
  return base;
}

/** A table: its rows, and how many there are. */
interface Table {
  readonly positions: number;
  readonly row: (position: number) => ArrayLike<number>;
}

/** Throws unless `table` is [positions, half]. */
function checkTable(name: string, table: unknown, half: number, complaint: Complaint): Table {
  const wanted = `[positions, ${half}], a column for each pair of dims ${2 * half}`;
  if (arrayKind(table) === "Float32Array") {
    const data = table as Float32Array, positions = data.length / half;
    if (data.length % half === 0) return { positions, row: rowsOf(data, half, half) };
    throw complaint.range(`${name} has ${data.length} elements but must be ${wanted}`);
  }
  if (typeof table !== "object" || table === null || !("shape" in table)) {
    throw complaint.type(`${name} is ${show(table)} but must be a tensor ${wanted}`);
  }
  const tensor = readOnce(table as HostTensor) as HostTensor;
  const shape = checkShape(name, tensor.shape, complaint);
  if (shape.length !== 2 || shape[1] !== half) {
    throw complaint.range(`${name} has shape ${show(shape)} but must be ${wanted}`);
  }
  if (!("data" in table)) {
    throw new UnsupportedError(`${name} as a resident tensor`, "any", "pass a host tensor");
  }
  const dtype = checkDType(name, tensor, complaint);
  const [row] = checkStrides(name, tensor.strides, shape, complaint) as [number, number];
  const data = tensor.data as Float32Array, positions = shape[0]!;
  checkExtent(name, data, shape, [row, 1], complaint);
  if (!(dtype === "f32" || dtype === "f16" || dtype === "bf16")) {
    throw complaint.type(`${name} has dtype ${show(dtype)} but must be f32, f16 or bf16`);
  }
  const rows = rowsOf(data, row, half);
  if (arrayKind(data) !== "Uint16Array") return { positions, row: rows };
  return { positions, row: (n) => widened(rows(n) as unknown as Uint16Array, dtype) };
}

/** Rows of an array, `pitch` elements apart. */
function rowsOf(data: Float32Array, pitch: number, half: number): (n: number) => Float32Array {
  return (n) => data.subarray(n * pitch, n * pitch + half);
}

function checkTables(
  prefix: string,
  { cos, sin }: RotaryAngles,
  dims: number,
  complaint: Complaint,
): RotaryTables | undefined {
  if (cos === undefined && sin === undefined) return undefined;
  if (cos === undefined || sin === undefined) {
    const [given, missing] = sin === undefined ? ["cos", "sin"] : ["sin", "cos"];
    throw complaint.type(
      `${prefix}${missing} is undefined but must be given beside ${prefix}${given}`,
    );
  }
  const c = checkTable(`${prefix}cos`, cos, dims / 2, complaint), { positions } = c;
  const s = checkTable(`${prefix}sin`, sin, dims / 2, complaint);
  if (s.positions !== positions) {
    throw complaint.range(
      `${prefix}sin has ${s.positions} positions but ${prefix}cos has ${positions}`,
    );
  }
  return { positions, cos: c.row, sin: s.row };
}

/** What options say about angles; `prefix`: what stands before their names in errors. */
export function parseForm(
  prefix: string,
  options: RotaryAngles,
  headDim: number,
  complaint: Complaint,
): RotaryForm {
  const dims = checkDims(`${prefix}dims`, options.dims, headDim, complaint);
  return {
    dims,
    interleaved: checkBoolean(`${prefix}interleaved`, options.interleaved, false, complaint),
    base: checkBase(`${prefix}base`, options.base, complaint),
    tables: checkTables(prefix, options, dims, complaint),
  };
}
