/** What a call may do when it is not content: documented errors, and nothing else. */
import { DeviceLostError, UnsupportedError } from "../../mod.ts";
import { Thrown } from "./hostile.ts";
import { kindOf } from "./mutate.ts";

/** What an object of the caller's answers that cannot be asked any more. */
const REVOKED = /on a proxy that has been revoked|^Class constructor Odd cannot be invoked/;

/** Messages of the language itself, which say nothing about an argument of ours. */
const FOREIGN = new RegExp(
  [
    "Cannot read propert",
    "Cannot set propert",
    "Cannot convert",
    "Cannot perform",
    "Cannot mix",
    "Cannot destructure",
    "Cannot access",
    "Cannot create property",
    "Cannot assign",
    "Cannot redefine",
    "Cannot use 'in'",
    "Maximum call stack",
    "is not a function",
    "is not iterable",
    "is not a constructor",
    "Invalid (typed )?array length",
    "out of bounds",
    "unreachable",
    "Reduce of empty",
  ].join("|"),
);

/** What begins with "Cannot", an action and a colon, and then says more. */
const OURS = /^Cannot [a-zA-Z][^:]{0,300}: ./s;

/** Why an error is none that the pages promise; undefined where it is one. `reasons`: of signals that were aborted. */
export function undocumented(error: unknown, reasons: ReadonlySet<unknown>): string | undefined {
  if (reasons.has(error) || error instanceof Thrown) return undefined;
  if (!(error instanceof Error)) return `it is no Error: ${String(error)}`;
  const { message } = error;
  if (REVOKED.test(message)) return undefined; // as what a getter throws
  if (message.length > 2000) return `its message has ${message.length} characters`;
  if (error instanceof UnsupportedError) {
    return /is not supported by/.test(message) ? undefined : `it says ${message}`;
  }
  if (error instanceof DeviceLostError) return undefined;
  const kind = error.constructor === TypeError || error.constructor === RangeError;
  if (!kind) return `it is a ${error.constructor.name}`;
  if (FOREIGN.test(message.replace(/"[^"]*"/g, '""'))) return "it is an error of the language";
  return OURS.test(message) ? undefined : "it does not begin with Cannot, an action and a colon";
}

/** Copies of all arrays of a tree of arguments, to see later whether one was written. */
export function contentsOf(tree: unknown, skip: ReadonlySet<string>): Map<Uint8Array, Uint8Array> {
  const found = new Map<Uint8Array, Uint8Array>(), seen = new Set<object>();
  const visit = (value: unknown, depth: number): void => {
    if (typeof value !== "object" || value === null || depth > 5 || seen.has(value)) return;
    seen.add(value);
    const kind = kindOf(value);
    if (kind === "array of numbers") {
      const { buffer, byteOffset, byteLength } = value as Uint8Array;
      if (byteLength === 0) return; // perhaps detached
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      found.set(bytes, bytes.slice());
    }
    if (kind !== "plain") return;
    for (const [key, { value: inner }] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
      if (!skip.has(key)) visit(inner, depth + 1);
    }
  };
  visit(tree, 0);
  return found;
}

/** Whether arrays still hold what they held; those that were detached or resized meanwhile are let off. */
export function isUntouched(contents: Map<Uint8Array, Uint8Array>): boolean {
  return [...contents].every(([now, before]) =>
    now.length !== before.length || now.every((byte, n) => byte === before[n])
  );
}
