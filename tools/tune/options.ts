/**
 * What a sweep goes through, from the options of the command or by default.
 * @module
 */

import type { Flags } from "../../bench/context.ts";
import type { TiledKernel } from "../../src/plan/webgpu/tiles.ts";

/** The kernels whose tiles are swept. */
export type SweptKernel = Exclude<TiledKernel, "pairSum">;

export interface SweepOptions {
  readonly kernels: readonly (SweptKernel | "decode")[];
  readonly dims: readonly number[];
  /** The first is where all tiles are tried, the others meet its best. */
  readonly lengths: readonly number[];
  /** Keys of decode cases. */
  readonly keys: readonly number[];
  /** Heads of a case; undefined: as many as fill the device for a while. */
  readonly heads?: readonly number[];
  readonly causal: readonly boolean[];
  readonly quick: boolean;
  readonly software: boolean;
  /** Of the whole sweep. */
  readonly seconds: number;
}

/** Options of the command, as `parseArgs` wants them. */
export const SWEEP_FLAGS = {
  kernels: { type: "string" },
  dims: { type: "string" },
  lengths: { type: "string" },
  heads: { type: "string" },
  causal: { type: "boolean", default: false },
} as const;

const KERNELS = ["forward", "dq", "dkv", "decode"] as const;
const SECONDS = { software: 90, quick: 150, hardware: 540 };

function numbers(name: string, text: Flags[string]): number[] | undefined {
  const found = text ? String(text).split(",").map(Number) : undefined;
  if (!found?.every((n) => Number.isInteger(n) && n > 0)) {
    if (found) throw new RangeError(`--${name}=${text} is no list of sizes`);
  }
  return found;
}

function kernelsOf(text: Flags[string]): SweepOptions["kernels"] {
  if (!text) return KERNELS;
  return String(text).split(",").map((name) => {
    const found = KERNELS.find((kernel) => kernel === name);
    if (!found) throw new RangeError(`--kernels=${name}: known are ${KERNELS.join(", ")}`);
    return found;
  });
}

export function sweepOptions(flags: Flags, software: boolean): SweepOptions {
  const quick = Boolean(flags.quick);
  const usual = software ? "software" : quick ? "quick" : "hardware";
  const seconds = flags.budget === undefined ? SECONDS[usual] : Number(flags.budget);
  if (!(seconds > 0)) throw new RangeError(`--budget=${flags.budget} is no number of seconds`);
  const dims = { software: [64], quick: [64, 128], hardware: [64, 128, 32, 256] };
  const lengths = { software: [256], quick: [4096], hardware: [4096, 1024] };
  const keys = {
    software: [1024],
    quick: [32768],
    hardware: [32768, 4096, 131072, 16384, 65536, 8192],
  };
  const given = numbers("lengths", flags.lengths);
  return {
    kernels: kernelsOf(flags.kernels),
    dims: numbers("dims", flags.dims) ?? dims[usual],
    lengths: given ?? lengths[usual],
    keys: given ?? keys[usual],
    heads: numbers("heads", flags.heads),
    causal: flags.causal ? [false, true] : [false],
    ...{ quick, software, seconds },
  };
}

/** A moment until which something may go on. */
export class Deadline {
  readonly #until: number;

  constructor(ms: number) {
    this.#until = performance.now() + ms;
  }

  get leftMs(): number {
    return Math.max(0, this.#until - performance.now());
  }

  get passed(): boolean {
    return this.leftMs === 0;
  }

  /** A share of what is left. */
  share(of: number): Deadline {
    return new Deadline(this.leftMs * of);
  }
}
