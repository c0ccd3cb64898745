// Exit codes, and which of them an error means.
import { DeviceLostError, UnsupportedError } from "../tensor/errors.ts";

/** The codes with which the program ends. */
export const EXIT = {
  done: 0,
  /** `check` found a result that is off. */
  failed: 1,
  /** Flags, or values that a call does not take. */
  usage: 2,
  /** A file that cannot be read or written, or that does not hold what was asked for. */
  file: 3,
  /** What this machine cannot do: no such backend, out of memory, a GPU that went away, a server that does not answer. */
  unsupported: 4,
  /** A fault of the program. */
  fault: 5,
  interrupted: 130,
  terminated: 143,
} as const;

/** One of them. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Flags that do not go together, or whose value is no good. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A file, and what is wrong with it. */
export class FileError extends Error {
  override readonly name = "FileError";
}

/** A package that is not installed, and how to install it. */
export class MissingError extends Error {
  override readonly name = "MissingError";
}

/** The program was told to stop. */
export class Interruption extends Error {
  override readonly name = "Interruption";
  readonly code: ExitCode;

  constructor(signal: string) {
    super(`stopped by ${signal}`);
    this.code = signal === "SIGTERM" ? EXIT.terminated : EXIT.interrupted;
  }
}

/** How engines of JavaScript begin what they say of a mistake of a program: not a sentence of the library. */
const SLIP =
  /^Cannot (read|set|create) propert|^Cannot (re)?define property|^Cannot (add|delete) property|^Cannot (convert|destructure|assign|mix|access) |^Cannot use 'in'/;

/** The code of an error that a command threw. */
export function codeOf(error: unknown): ExitCode {
  if (error instanceof Interruption) return error.code;
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof FileError) return EXIT.file;
  if (error instanceof UnsupportedError || error instanceof DeviceLostError) {
    return EXIT.unsupported;
  }
  if (error instanceof MissingError) return EXIT.unsupported;
  if (!(error instanceof Error)) return EXIT.fault;
  // by its name: its class is of an entry that only its own commands load
  if (error.name === "ClusterError") return EXIT.unsupported;
  if (/^Cannot allocate|out of memory|allocation failed/i.test(error.message)) {
    return EXIT.unsupported;
  }
  // what the calls of the library throw for arguments
  const refused = error instanceof TypeError || error instanceof RangeError;
  return refused && error.message.startsWith("Cannot ") && !SLIP.test(error.message)
    ? EXIT.usage
    : EXIT.fault;
}

/** A flag as it is written: `keyLengths` is `--key-lengths`. */
export function flagName(option: string): string {
  return `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The message of an error of a call, with the flag that its argument came from. */
export function messageOf(error: unknown, flags: ReadonlySet<string>): string {
  if (!(error instanceof Error)) return String(error);
  if (codeOf(error) === EXIT.fault) return error.stack ?? error.message;
  const [, argument] = /^Cannot run \w+: (?:options\.)?(\w+)/.exec(error.message) ?? [];
  if (argument === undefined || !flags.has(flagName(argument))) return error.message;
  return `${error.message} (flag ${flagName(argument)})`;
}
