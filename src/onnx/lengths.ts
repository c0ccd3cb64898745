// nonpad_kv_seqlen: how many keys of each sequence are real.
import { arrayKind } from "../tensor/dtype.ts";
import { type Complaint, show } from "../tensor/errors.ts";

/** `nonpad_kv_seqlen`: integers, one for each sequence, as an array or as a tensor of shape `[batch_size]`. */
export type OnnxLengths =
  | Int32Array
  | BigInt64Array
  | { readonly data: Int32Array | BigInt64Array; readonly shape: readonly number[] };

const isIntegers = (value: unknown): value is Int32Array | BigInt64Array =>
  ["Int32Array", "BigInt64Array"].includes(arrayKind(value) ?? "");

/** The integers, whichever way they were given. */
function integersOf(given: unknown, complaint: Complaint): Int32Array | BigInt64Array {
  if (isIntegers(given)) return given;
  const wanted =
    "a BigInt64Array or Int32Array, or a tensor of one, with a length for each sequence";
  if (typeof given !== "object" || given === null || !("data" in given)) {
    throw complaint.type(`nonpad_kv_seqlen is ${show(given)} but must be ${wanted}`);
  }
  const { data, shape } = given as { data: unknown; shape?: unknown };
  if (!isIntegers(data)) {
    throw complaint.type(`nonpad_kv_seqlen.data is ${show(data)} but must be ${wanted}`);
  }
  if (!Array.isArray(shape) || shape.length !== 1 || shape[0] !== data.length) {
    throw complaint.range(
      `nonpad_kv_seqlen has shape ${show(shape)} but [${data.length}] was wanted, as it has data`,
    );
  }
  return data;
}

/** Checks the lengths: one for each sequence, none above the `keys` that there are, or that a mask tells about. */
export function readLengths(
  given: unknown,
  batch: number,
  keys: number,
  maskKeys: number,
  complaint: Complaint,
): Int32Array {
  const integers = integersOf(given, complaint);
  if (integers.length !== batch) {
    throw complaint.range(
      `nonpad_kv_seqlen has ${integers.length} entries but batch_size is ${batch}`,
    );
  }
  return Int32Array.from(integers as Iterable<number | bigint>, (value, n) => {
    const name = `nonpad_kv_seqlen[${n}] is ${value}`, length = Number(value);
    if (!(length >= 0 && length <= keys)) {
      throw complaint.range(`${name} but must be from 0 to kv_sequence_length = ${keys}`);
    }
    if (length > maskKeys) {
      throw complaint.range(
        `${name} but attn_mask, whose last axis is ${maskKeys}, must reach as far`,
      );
    }
    return length;
  });
}
