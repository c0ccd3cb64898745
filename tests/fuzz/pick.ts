/** Choices that follow from a seed. */
import type { HostTensor } from "../../mod.ts";
import { randomNumbers } from "../random.ts";

/** Random choices for the good arguments of a call. */
export class Pick {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = randomNumbers(seed);
  }

  /** An integer from `least` to `most`. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.#random() * (most - least + 1));
  }

  /** One of some. */
  of<T>(...values: readonly T[]): T {
    return values[this.integer(0, values.length - 1)]!;
  }

  /** Whether something happens that does so once in `n` times. */
  once(n: number): boolean {
    return this.integer(1, n) === 1;
  }

  /** Properties of which each is there once in `n` times. */
  some<T extends object>(n: number, all: { readonly [key in keyof T]: () => T[key] }): Partial<T> {
    const taken = Object.entries(all).filter(() => this.once(n));
    return Object.fromEntries(
      taken.map(([key, make]) => [key, (make as () => unknown)()]),
    ) as Partial<T>;
  }

  /** A host tensor of small numbers. */
  tensor(shape: readonly number[], dtype: "f32" | "f16" | "bf16" = "f32"): HostTensor {
    const length = shape.reduce((a, b) => a * b, 1), random = this.#random;
    if (dtype === "f32") {
      return { data: Float32Array.from({ length }, () => random() - 0.5), shape };
    }
    if (dtype === "bf16") {
      return { data: Uint16Array.from({ length }, () => 0x3f00 + random() * 128), shape, dtype };
    }
    return { data: Float16Array.from({ length }, () => random() - 0.5), shape };
  }
}
