// Arguments that are lists of integers: read once, into an array of their own.
import { arrayKind } from "./dtype.ts";
import { type Complaint, show } from "./errors.ts";

/** More entries than a list of sequences or sizes has. */
const MOST_ENTRIES = 2 ** 24;

/** What a list holds, read once; in a loop, since `Array.from` takes ten times as long for a shape. */
export function ownEntries(list: ArrayLike<unknown>, length: number = list.length): number[] {
  const entries: number[] = [];
  for (let n = 0; n < length; n++) entries.push(list[n] as number);
  return entries;
}

/** The entries of an array or Int32Array, whatever they are. Throws unless it is one; `wanted`: what it must be, in words. */
export function entriesOf(
  name: string,
  value: unknown,
  wanted: string,
  complaint: Complaint,
  most: number = MOST_ENTRIES,
): number[] {
  if (!Array.isArray(value) && arrayKind(value) !== "Int32Array") {
    throw complaint.type(`${name} is ${show(value)} but must be ${wanted}`);
  }
  const list = value as ArrayLike<number>, { length } = list; // 0 where its buffer is detached
  if (length > most) {
    throw complaint.range(
      `${name} has ${length} entries, more than ${most}, but must be ${wanted}`,
    );
  }
  return ownEntries(list, length);
}
