// Packed sequences: where each of them begins in a tensor that has no batch axis (FlashAttention's varlen calls).
import { type Complaint, show } from "../tensor/errors.ts";
import { entriesOf } from "../tensor/lists.ts";
import type { PackedSide, PackedSides } from "../tensor/operands.ts";
import type { CallOptions } from "./call_options.ts";

/** The option of each side. */
export const PACKING_OPTIONS = { queries: "cuSeqlensQ", keys: "cuSeqlensK" } as const;

type Side = keyof typeof PACKING_OPTIONS;

/** The first row of each sequence and the row behind the last one; undefined where a side is not packed. */
export function parseStarts(
  side: Side,
  options: CallOptions,
  complaint: Complaint,
): readonly number[] | undefined {
  const name = PACKING_OPTIONS[side], value: unknown = options[name];
  return value === undefined ? undefined : checkStarts(name, value, complaint);
}

/** The same of an option that must be there. */
export function checkStarts(
  name: string,
  value: unknown,
  complaint: Complaint,
): readonly number[] {
  const wanted = "an array or Int32Array of sequences + 1 row numbers from 0 on";
  const starts = entriesOf(name, value, wanted, complaint);
  if (starts.length === 0) throw complaint.range(`${name} has no entries but must be ${wanted}`);
  starts.forEach((start, n) => {
    if (!Number.isSafeInteger(start)) {
      throw complaint.range(`${name}[${n}] is ${show(start)} but must be an integer`);
    }
  });
  if (starts[0] !== 0) throw complaint.range(`${name}[0] is ${starts[0]} but must be 0`);
  const fall = starts.findIndex((start, n) => n > 0 && start < starts[n - 1]!);
  if (fall > 0) {
    throw complaint.range(
      `${name}[${fall}] is ${starts[fall]} but must be at least ${name}[${fall - 1}] = ${
        starts[fall - 1]
      }`,
    );
  }
  return starts;
}

/** A packed side of a tensor with so many rows; throws where its sequences end past them. */
export function packedSideOf(
  side: Side,
  starts: readonly number[] | undefined,
  rows: number,
  complaint: Complaint,
): PackedSide | undefined {
  if (!starts) return undefined;
  const end = starts.at(-1)!, tensor = side === "queries" ? "q" : "k";
  if (end > rows) {
    throw complaint.range(
      `${PACKING_OPTIONS[side]} ends at row ${end} but ${tensor} has ${rows} rows`,
    );
  }
  return { starts, rows };
}

/** How many rows sequence `index` has. */
export function lengthOf({ starts }: PackedSide, index: number): number {
  return starts[index + 1]! - starts[index]!;
}

/** The longest sequence of a side. */
export function longestOf({ starts }: PackedSide): number {
  return starts.reduce((longest, start, n) => Math.max(longest, start - (starts[n - 1] ?? 0)), 0);
}

/** Sequences of a packed call; undefined where no side is packed. */
export function sequencesOf(
  { queries, keys }: PackedSides,
  complaint: Complaint,
): number | undefined {
  if (queries && keys && queries.starts.length !== keys.starts.length) {
    throw complaint.range(
      `cuSeqlensK has ${keys.starts.length} entries but cuSeqlensQ has ${queries.starts.length}`,
    );
  }
  const side = queries ?? keys;
  return side && side.starts.length - 1;
}
