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

/** Short text for a value in an error message. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) {
    const name = value.constructor?.name ?? "object";
    return name === "Object"
      ? `an object with ${Object.keys(value).join(", ") || "no keys"}`
      : `a ${name}`;
  }
  return String(value);
}

/** Builds the errors of one public call: each message begins with what could not be done. */
export class Complaint {
  readonly #action: string;

  constructor(action: string) {
    this.#action = action;
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
