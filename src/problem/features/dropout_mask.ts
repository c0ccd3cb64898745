// Which pairs dropout keeps, without an engine.
import { Complaint, show } from "../../tensor/errors.ts";
import { checkProbability, checkSeed } from "./dropout.ts";
import { drawsOf, thresholdOf } from "./philox.ts";

/** What `dropoutMask` is asked. */
export interface DropoutMaskOptions {
  /** The seed of the call: a non-negative safe integer, or a bigint below 2^64. */
  readonly seed: number | bigint;
  /** Its probability that a pair is dropped, from 0 to below 1. */
  readonly probability: number;
  /** The batch element, from 0. */
  readonly batch: number;
  /** The query head, from 0. */
  readonly head: number;
  /** Query rows, as [first, end). */
  readonly rows: readonly [first: number, end: number];
  /** Keys, as [first, end). */
  readonly keys: readonly [first: number, end: number];
}

const NAMES = ["seed", "probability", "batch", "head", "rows", "keys"];
/** Numbers of batch elements, heads, rows and keys are below this. */
const MOST = 2 ** 30;

function checkIndex(name: string, value: unknown, complaint: Complaint): number {
  if (typeof value !== "number") {
    throw complaint.type(`${name} is ${show(value)} but must be an integer from 0`);
  }
  if (!(Number.isSafeInteger(value) && value >= 0 && value <= MOST)) {
    throw complaint.range(`${name} is ${value} but must be an integer from 0 to ${MOST}`);
  }
  return value;
}

function checkRange(name: string, value: unknown, complaint: Complaint): [number, number] {
  if (!Array.isArray(value) || value.length !== 2) {
    throw complaint.type(`${name} is ${show(value)} but must be [first, end]`);
  }
  const first = checkIndex(`${name}[0]`, value[0], complaint);
  const end = checkIndex(`${name}[1]`, value[1], complaint);
  if (end < first) {
    throw complaint.range(`${name} is ${show(value)} but its end must not be below its first`);
  }
  return [first, end];
}

/**
 * Which pairs the option `dropout` keeps: one byte for each row and key of a rectangle, row by row, 1 where the pair is
 * kept. The same bits as on every engine; what a mask or a causal call hides is not looked at.
 *
 * Throws a TypeError or RangeError where an option is missing or out of its range.
 *
 * @example
 * ```ts
 * import { dropoutMask } from "@flashtile/attention";
 *
 * const kept = dropoutMask({
 *   ...{ seed: 7, probability: 0.25, batch: 0, head: 1 },
 *   ...{ rows: [0, 64], keys: [128, 256] },
 * });
 * const share = kept.reduce((sum, bit) => sum + bit, 0) / (64 * 128);
 * if (Math.abs(share - 0.75) > 0.02) throw new Error(`${share} of the pairs are kept`);
 * ```
 */
export function dropoutMask(options: DropoutMaskOptions): Uint8Array<ArrayBuffer> {
  const complaint = new Complaint("dropoutMask");
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be { ${NAMES.join(", ")} }`);
  }
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) {
    throw complaint.type(
      `options has the unknown name ${show(unknown)}, wanted one of ${NAMES.join(", ")}`,
    );
  }
  const seed = checkSeed("seed", options.seed, complaint);
  const threshold = thresholdOf(checkProbability("probability", options.probability, complaint));
  const batch = checkIndex("batch", options.batch, complaint);
  const head = checkIndex("head", options.head, complaint);
  const [firstRow, endRow] = checkRange("rows", options.rows, complaint);
  const [firstKey, endKey] = checkRange("keys", options.keys, complaint);
  const pairs = (endRow - firstRow) * (endKey - firstKey);
  if (pairs > 2 ** 32) {
    throw complaint.range(`rows times keys is ${pairs} but must be at most ${2 ** 32}`);
  }
  const mask = new Uint8Array(pairs);
  for (let row = firstRow, at = 0; row < endRow; row++) {
    let draws: readonly number[] = [];
    for (let key = firstKey; key < endKey; key++, at++) {
      if (key === firstKey || key % 8 === 0) draws = drawsOf(seed, batch, head, row, key >> 3);
      mask[at] = draws[key % 8]! >= threshold ? 1 : 0;
    }
  }
  return mask;
}
