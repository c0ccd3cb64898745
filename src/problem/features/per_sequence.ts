// Options that are an integer for each sequence of the batch, or one for all of them.
import { type Complaint, show } from "../../tensor/errors.ts";
import { entriesOf } from "../../tensor/lists.ts";

/** The integer of each sequence, in an array of its own. Throws unless there are as many. */
export function perSequence(
  name: string,
  value: unknown,
  batch: number,
  complaint: Complaint,
): readonly number[] {
  const wanted = "an integer, or an array or Int32Array with one for each batch element";
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) {
      throw complaint.range(`${name} is ${value} but must be ${wanted}`);
    }
    return new Array<number>(batch).fill(value);
  }
  const list = entriesOf(name, value, wanted, complaint);
  if (list.length !== batch) {
    throw complaint.range(`${name} has ${list.length} entries but batch is ${batch}`);
  }
  list.forEach((n, index) => {
    if (!Number.isSafeInteger(n)) {
      throw complaint.range(`${name}[${index}] is ${show(n)} but must be an integer`);
    }
  });
  return list;
}
