// Errors that cross the wire: a node refuses with the library's own message, in the headers that NATS services have for it.
import { show, UnsupportedError } from "../../tensor/errors.ts";

/**
 * What went wrong between machines: a shard whose nodes do not answer, a node that refuses, or NATS that is not there. Its
 * message begins with what could not be done.
 *
 * @example
 * ```ts
 * import { ClusterError } from "@flashtile/attention/cluster";
 * import assert from "node:assert/strict";
 *
 * const error = new ClusterError("attention", "the node is gone", { shard: 3, node: "rack-7" });
 * assert.equal(error.message, "Cannot run attention: shard 3 on node rack-7: the node is gone");
 * ```
 */
export class ClusterError extends Error {
  /** Number of the shard, or of the part of a call, that is missing. */
  readonly shard: number | undefined;
  /** Name of the node that was asked last. */
  readonly node: string | undefined;

  /** Builds the message from its parts. */
  constructor(
    action: string,
    reason: string,
    where: { readonly shard?: number | undefined; readonly node?: string | undefined } = {},
    cause?: unknown,
  ) {
    const shard = where.shard === undefined ? [] : [`shard ${where.shard}`];
    const node = where.node === undefined ? [] : [`node ${where.node}`];
    const place = [...shard, ...node].join(" on ");
    super(`Cannot run ${action}: ${place && `${place}: `}${reason}`, { cause });
    this.name = "ClusterError";
    this.shard = where.shard;
    this.node = where.node;
  }
}

/** What a node refuses because of its state, not because of the request: the client acts on these. */
export type Refusal = "missing" | "behind" | "busy";

/** Thrown by a node: the shard is not there, its rows are fewer, or too much waits already. */
export class RefusedError extends Error {
  /** Which of them. */
  readonly refusal: Refusal;

  constructor(refusal: Refusal, message: string) {
    super(message);
    this.name = "RefusedError";
    this.refusal = refusal;
  }
}

/** Codes of errors in replies, as in HTTP. */
const CODES: Readonly<Record<string, number>> = {
  RangeError: 413,
  TypeError: 400,
  UnsupportedError: 501,
  missing: 404,
  behind: 409,
  busy: 429,
};

/** An error as a node sends it: code and message, which headers of NATS hold on one line, and its parts. */
export function describeError(error: unknown): { code: number; text: string; parts: string } {
  const known = error instanceof Error ? error : new Error(show(error));
  const kind = known instanceof RefusedError ? known.refusal : known.name;
  const parts = known instanceof UnsupportedError
    ? [known.feature, known.backend, known.remedy]
    : [known.message];
  return {
    code: CODES[kind] ?? 500,
    text: known.message.replaceAll(/\s+/g, " "),
    parts: JSON.stringify({ kind, parts }),
  };
}

/** The error that a node sent. */
export function restoredError(parts: string): Error {
  const { kind, parts: [first, second, third] } = JSON.parse(parts);
  if (kind === "UnsupportedError") return new UnsupportedError(first, second, third);
  if (kind === "RangeError") return new RangeError(first);
  if (kind === "TypeError") return new TypeError(first);
  if (["missing", "behind", "busy"].includes(kind)) return new RefusedError(kind, first);
  return new Error(first);
}
