/**
 * A combination of feature and backend that flashtile does not have. The call did no work; `remedy`
 * says what to do instead.
 *
 * @example
 * ```ts
 * import { UnsupportedError } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const error = new UnsupportedError("wrapping", "wasm", "copy the values");
 * assert.equal(error.message, "wrapping is not supported by the wasm backend: copy the values");
 * ```
 */
export class UnsupportedError extends Error {
  /** The option or capability that is missing. */
  readonly feature: string;
  /** Where it is missing: a backend, or `"any"` for all of them. */
  readonly backend: string;
  /** What to do instead. */
  readonly remedy: string;

  /** Builds the message from its three parts. */
  constructor(feature: string, backend: string, remedy: string) {
    const where = backend === "any" ? "any backend" : `the ${backend} backend`;
    super(`${feature} is not supported by ${where}: ${remedy}`);
    this.name = "UnsupportedError";
    this.feature = feature;
    this.backend = backend;
    this.remedy = remedy;
  }
}

/**
 * The GPU went away (driver reset, `device.destroy()`) and the call could not be computed again, because
 * its tensors lived there. The engine takes new calls and tensors; those of the lost device are gone.
 *
 * @example
 * ```ts
 * import { DeviceLostError } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const error = new DeviceLostError("Cannot run attention", "driver reset");
 * assert.equal(error.message, "Cannot run attention: the GPU was lost (driver reset)");
 * ```
 */
export class DeviceLostError extends Error {
  /** What the device said. */
  readonly reason: string;

  /** Builds the message from what could not be done and why. */
  constructor(action: string, reason: string) {
    super(`${action}: the GPU was lost (${reason})`);
    this.name = "DeviceLostError";
    this.reason = reason;
  }
}

/** Most entries, names and characters of a value that a message shows, and how deep it looks. */
const MOST_SHOWN = 8, MOST_CHARACTERS = 80, DEEPEST = 2;

/** Entries in a row, with what was left out. */
function listed(entries: readonly string[], all: number): string {
  return [...entries, ...all > entries.length ? [`… ${all} in all`] : []].join(", ");
}

function showText(text: string): string {
  if (text.length <= MOST_CHARACTERS) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, MOST_CHARACTERS))}… (${text.length} characters)`;
}

function showObject(value: object): string {
  const name = value.constructor?.name;
  if (typeof name === "string" && name !== "" && name !== "Object") {
    return `a ${name.slice(0, MOST_CHARACTERS)}`;
  }
  const keys = Object.keys(value), shown = keys.slice(0, MOST_SHOWN);
  const names = shown.map((key) => key.slice(0, MOST_CHARACTERS));
  return `an object with ${listed(names, keys.length) || "no keys"}`;
}

/** Short text for a value in an error message, whatever the value is: it may be cyclic, endless, or throw when asked. */
export function show(value: unknown, depth = 0): string {
  if (typeof value === "string") return showText(value);
  if (typeof value === "function") return "a function";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
    if (!Array.isArray(value)) return showObject(value);
    if (depth > DEEPEST) return "an array";
    const shown = Array.from(value.slice(0, MOST_SHOWN), (x) => show(x, depth + 1));
    return `[${listed(shown, value.length)}]`;
  } catch {
    return "an object that cannot be looked at";
  }
}

/** Builds the errors of one public call: each message begins with what could not be done. */
export class Complaint {
  readonly #action: string;

  constructor(action: string) {
    this.#action = action;
  }

  /** What cannot be run. */
  get action(): string {
    return this.#action;
  }

  /** Wrong kind of value. */
  type(text: string): TypeError {
    return new TypeError(`Cannot run ${this.#action}: ${text}`);
  }

  /** Right kind, but it does not fit. */
  range(text: string): RangeError {
    return new RangeError(`Cannot run ${this.#action}: ${text}`);
  }
}
