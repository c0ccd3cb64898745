// Positions of rows: given, or counted; and the rotations that follow from them.
import { arrayKind } from "../../tensor/dtype.ts";
import { type Complaint, show } from "../../tensor/errors.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { checkExtent, checkShape, checkStrides, readOnce } from "../../tensor/given.ts";
import { count } from "../../tensor/shape.ts";
import { type RotaryForm, rotaryTable } from "./rotary_table.ts";
import type { RowRotation, TurningRows } from "./row_rotation.ts";

/** Positions that a caller gave: those of the rows of every sequence, or of each of them one behind the other. */
export interface GivenPositions {
  readonly values: Int32Array;
  /** The entry of the first row of each sequence. */
  readonly starts: readonly number[];
}

/** How the rows of an operand lie: so many for each sequence, or packed. */
export interface PositionedRows {
  readonly batch: number;
  /** Rows of the longest sequence. */
  readonly length: number;
  /** Packed: the first row of each sequence, and rows of the tensor. */
  readonly packed?: { readonly starts: readonly number[]; readonly rows: number } | undefined;
}

/** The integers of an Int32Array, or of a tensor of them, one behind the other in an array of their own. */
function integers(name: string, value: unknown, wanted: string, complaint: Complaint): Int32Array {
  if (arrayKind(value) === "Int32Array") {
    const given = value as Int32Array; // of length 0 where its buffer is detached
    return Int32Array.from({ length: given.length }, (_, n) => given[n]!);
  }
  const tensor = typeof value === "object" && value !== null && "data" in value
    ? readOnce(value as HostTensor) as HostTensor
    : undefined;
  const data = tensor?.data;
  if (arrayKind(data) !== "Int32Array") {
    const what = data === undefined ? show(value) : `a tensor of ${show(data)}`;
    throw complaint.type(`${name} is ${what} but must be ${wanted}`);
  }
  const { shape, strides: given } = tensor!;
  const sizes = checkShape(name, shape, complaint);
  const strides = checkStrides(name, given, sizes, complaint), last = sizes.at(-1) ?? 1;
  checkExtent(name, data as Int32Array, sizes, strides, complaint);
  if (sizes.length > 2) {
    throw complaint.type(`${name} has shape ${show(sizes)} but must be ${wanted}`);
  }
  const row = sizes.length === 2 ? strides[0]! : 0;
  return Int32Array.from(
    { length: count(sizes) },
    (_, n) => (data as Int32Array)[Math.floor(n / last) * row + n % last]!,
  );
}

/** Checks positions that a caller gave; undefined where there are none. */
export function parsePositions(
  name: string,
  value: unknown,
  { batch, length, packed }: PositionedRows,
  complaint: Complaint,
): GivenPositions | undefined {
  if (value === undefined) return undefined;
  const all = packed ? packed.rows : batch * length, used = packed?.starts.at(-1) ?? all;
  const wanted = `an Int32Array of ${length}, one for each row of a sequence` +
    (all === length ? "" : `, or of ${all}, one for each row of all sequences`);
  const values = integers(name, value, wanted, complaint), sequences = { length: batch };
  if (values.length === length) return { values, starts: Array.from(sequences, () => 0) };
  if (values.length !== all && values.length !== used) { // rows behind the last sequence need none
    throw complaint.range(`${name} has ${values.length} entries but must be ${wanted}`);
  }
  const starts = packed?.starts ?? Array.from(sequences, (_, n) => n * length);
  return { values, starts: starts.slice(0, batch) };
}

/** Integers from `first` on. */
interface Range {
  readonly first: number;
  readonly count: number;
}

/** The integers of ranges in order, each once, and where those of each range lie among them. */
function laidOut(
  ranges: readonly Range[],
): { integers: Int32Array; sequences: readonly TurningRows[] } {
  const order = ranges.map((_, n) => n).sort((a, b) => ranges[a]!.first - ranges[b]!.first);
  const sequences: TurningRows[] = ranges.map(() => ({ first: 0, count: 0 }));
  const integers: number[] = [];
  for (const n of order) {
    const { first, count } = ranges[n]!, next = (integers.at(-1) ?? -Infinity) + 1;
    if (count === 0) continue;
    for (let x = Math.max(first, next); x < first + count; x++) integers.push(x);
    // what is there ends behind what this range begins with, and has no gap from there on
    sequences[n] = { first: integers.length - 1 - (integers.at(-1)! - first), count };
  }
  return { integers: Int32Array.from(integers), sequences };
}

/** Throws where a position is not in the tables. */
function checkInTables(
  { tables }: RotaryForm,
  position: number,
  where: string,
  complaint: Complaint,
): void {
  if (!tables || (position >= 0 && position < tables.positions)) return;
  throw complaint.range(
    `${where} has position ${position} but the tables have positions from 0 to ${
      tables.positions - 1
    }: others need a base`,
  );
}

/** Rotations of rows whose positions were given; `counts`: rows of each sequence that are in use. */
export function givenRotation(
  form: RotaryForm,
  { values, starts }: GivenPositions,
  counts: readonly number[],
  name: string,
  complaint: Complaint,
): RowRotation {
  const { integers, sequences } = laidOut(counts.map((count, n) => ({ first: starts[n]!, count })));
  for (const n of form.tables ? integers : []) {
    checkInTables(form, values[n]!, `${name}[${n}]`, complaint);
  }
  const { dims, interleaved } = form, positions = integers.map((n) => values[n]!);
  return { dims, interleaved, table: rotaryTable(form, positions), sequences };
}

/** Rotations of rows that are counted from a position of each sequence on; `name`: what they are rows of. */
export function countedRotation(
  form: RotaryForm,
  ranges: readonly Range[],
  name: string,
  complaint: Complaint,
): RowRotation {
  ranges.forEach(({ first, count }, n) => {
    for (const row of count > 0 ? [0, count - 1] : []) {
      checkInTables(form, first + row, `row ${row} of ${name} in sequence ${n}`, complaint);
    }
  });
  const { integers, sequences } = laidOut(ranges), { dims, interleaved } = form;
  return { dims, interleaved, table: rotaryTable(form, integers), sequences };
}
