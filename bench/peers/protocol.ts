/**
 * Messages between the driver and a contender process, one JSON object a line.
 * @module
 */

/** Before every answer: libraries print to standard output as well. */
export const ANSWER_MARK = "@bench ";

export type Request =
  /** Call until that many milliseconds have passed. */
  | { readonly do: "warm"; readonly ms: number }
  /** Time that many calls as one sample, after an untimed one if asked. */
  | { readonly do: "time"; readonly calls: number; readonly discard: boolean }
  /** Call once and compare with the float64 reference. */
  | { readonly do: "check" }
  /** Report peak memory since the operands were in place. */
  | { readonly do: "memory" };

export interface Answer {
  readonly ready?: true;
  /** Milliseconds of one call. */
  readonly ms?: number;
  /** Largest absolute error. */
  readonly error?: number;
  /** Growth of the process's peak memory. */
  readonly peakBytes?: number;
  /** The library's own account of its memory, in bytes. */
  readonly own?: Readonly<Record<string, number>>;
  /** Why nothing further will come. */
  readonly failed?: string;
}
