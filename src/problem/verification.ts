// The option `verify`, checked; and what is found by it.
import { Complaint, show, UnsupportedError } from "../tensor/errors.ts";

/** Which rows of a call are computed again in float64, and what is too far from that. */
export interface VerifyOptions {
  /** Rows that are drawn of all (batch element, head, row) of each result: an integer from 1 on, or `Infinity` for all. Default 16. */
  readonly rows?: number | undefined;
  /**
   * How many times the rounding error that is expected of the formula in the `precision` of the call an element may be off.
   * Default 16.
   */
  readonly bound?: number | undefined;
  /** Which rows: the same number gives the same ones. A non-negative safe integer, default 0. */
  readonly seed?: number | undefined;
}

/** What a call may be asked beside what it computes. */
export interface VerifyCallOptions {
  /**
   * Computes some rows of `out` and `lse`, or of dq, dk and dv, again in float64, on the host, and compares:
   * `result.verified` says how far they are off, and the call rejects with a `VerificationError` where that is more than a
   * bound. `"sample"` is `{}`: 16 rows of each. Default `false`. Of `attention` and `attentionBackward` alone; it costs
   * `rows · lengthK · (headDim + valueDim)` steps (of gradients also `rows · lengthQ · queryHeads / kvHeads` times as much),
   * and copies of resident tensors, which must not be disposed of or written until the call resolves.
   */
  readonly verify?: "sample" | false | VerifyOptions | undefined;
}

/** What verification measured: the option `verify`. */
export interface Verification {
  /** Rows that were computed again. */
  readonly rows: number;
  /** The largest error, as a multiple of the rounding error that is expected of the formula in the call's precision there. */
  readonly error: number;
  /** The multiple that was allowed. */
  readonly bound: number;
  /** The element with that error; undefined where no row has an error. */
  readonly at?: VerifiedElement | undefined;
}

/** The same of gradients. */
export interface GradientVerification extends Verification {
  /** Rows that were computed again of each; `rows` is their sum. */
  readonly checked: { readonly dq: number; readonly dk: number; readonly dv: number };
  /** Gradients of the call that were not looked at: those of options. */
  readonly unchecked: readonly string[];
}

/** An element of a result, beside what it should be. */
export interface VerifiedElement {
  /** Which result. */
  readonly result: "out" | "lse" | "dq" | "dk" | "dv";
  /** The batch element, or the packed sequence. */
  readonly batch: number;
  /** The query head; of dk and dv the head of k and v. */
  readonly head: number;
  /** Of `out`, `lse` and dq: the query, counted in its sequence. */
  readonly query?: number | undefined;
  /** Of dk and dv: the key, likewise. */
  readonly key?: number | undefined;
  /** The column; 0 for `lse`. */
  readonly column: number;
  /** What the engine returned. */
  readonly got: number;
  /** What float64 gives. */
  readonly expected: number;
}

/**
 * A call whose option `verify` found an element further from float64 than its bound: a driver, a machine or this library
 * computes wrongly. Resident results were disposed of.
 *
 * @example
 * ```ts
 * import { VerificationError } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const place = { result: "lse", batch: 0, head: 1, query: 7, column: 0 } as const;
 * const error = new VerificationError({
 *   ...{ rows: 16, error: 4000, bound: 16 },
 *   at: { ...place, got: 2, expected: 1 },
 * });
 * assert.match(error.message, /^Cannot trust attention: lse of batch 0, head 1, query 7 is 2 but must be 1/);
 * ```
 */
export class VerificationError extends Error {
  /** What was measured, and where. */
  readonly verification: Verification;

  /** Builds the message from what was measured. */
  constructor(verification: Verification) {
    const { error, bound, rows, at } = verification;
    const { result, batch, head, query, key, column, got, expected } = at!;
    const row = key === undefined ? `head ${head}, query ${query}` : `kv head ${head}, key ${key}`;
    const place = `batch ${batch}, ${row}` + (result === "lse" ? "" : `, column ${column}`);
    const call = result === "out" || result === "lse" ? "attention" : "attentionBackward";
    super(
      `Cannot trust ${call}: ${result} of ${place} is ${got} but must be ${expected}, ` +
        `${
          error.toPrecision(3)
        } times the expected rounding error (${bound} are allowed, ${rows} rows were verified)`,
    );
    this.name = "VerificationError";
    this.verification = verification;
  }
}

/** The option with every default. */
export type VerifyChoice = Required<{ readonly [key in keyof VerifyOptions]: number }>;

const NAMES = ["rows", "bound", "seed"];

function numberOf(
  name: string,
  value: unknown,
  standard: number,
  fits: (n: number) => boolean,
  wanted: string,
  complaint: Complaint,
): number {
  if (value === undefined) return standard;
  if (typeof value !== "number") {
    throw complaint.type(`verify.${name} is ${show(value)} but must be ${wanted}`);
  }
  if (!fits(value)) throw complaint.range(`verify.${name} is ${value} but must be ${wanted}`);
  return value;
}

/** The option, checked; undefined where nothing is to be verified. */
export function parseVerify(
  value: unknown,
  call: "attention" | "attentionBackward",
): VerifyChoice | undefined {
  if (value === undefined || value === false) return undefined;
  const complaint = new Complaint(call);
  const given: unknown = value === "sample" ? {} : value;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw complaint.type(
      `verify is ${show(value)} but must be "sample", false or { ${NAMES.join("?, ")}? }`,
    );
  }
  const unknown = Object.keys(given).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) {
    throw complaint.type(
      `verify has the unknown key ${show(unknown)}, wanted one of ${NAMES.join(", ")}`,
    );
  }
  const { rows, bound, seed } = given as VerifyOptions, whole = Number.isSafeInteger;
  return {
    rows: numberOf(
      ...["rows", rows, 16, (n: number) => n === Infinity || (whole(n) && n >= 1)] as const,
      ...["an integer from 1 on, or Infinity", complaint] as const,
    ),
    bound: numberOf("bound", bound, 16, (n) => n > 0, "a number above 0", complaint),
    seed: numberOf(
      ...["seed", seed, 0, (n: number) => whole(n) && n >= 0] as const,
      ...["a non-negative safe integer", complaint] as const,
    ),
  };
}

/** Throws where a call that cannot be verified is asked to be. */
export function refuseVerify(options: unknown, call: string, remedy: string): void {
  const { verify } = (options ?? {}) as { verify?: unknown };
  if (verify === undefined || verify === false) return;
  throw new UnsupportedError(`the option verify of ${call}`, "any", remedy);
}
