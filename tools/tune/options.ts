/**
 * What a sweep goes through, from the options of the command or by default.
 * @module
 */

import type { Flags } from "../../bench/context.ts";
import type { TiledKernel } from "../../src/plan/webgpu/tiles.ts";

/** The kernels whose tiles are swept. */
export type SweptKernel = Exclude<TiledKernel, "pairSum" | "inside">;
export type AnyKernel = SweptKernel | "decode";

export interface SweepOptions {
  readonly kernels: readonly AnyKernel[];
  readonly dims: readonly number[];
  /** The first is where all tiles are tried, the others meet its best. */
  readonly lengths: readonly number[];
  /** Keys of decode cases. */
  readonly keys: readonly number[];
  /** Heads of a case; undefined: as many as fill the device for a while. */
  readonly heads?: readonly number[] | undefined;
  readonly causal: readonly boolean[];
  readonly quick: boolean;
  readonly software: boolean;
  /** Of the whole sweep. */
  readonly seconds: number;
}

/** Options of the command, as `parseArgs` wants them. */
export const SWEEP_FLAGS = {
  kernels: { type: "string", default: "forward,dq,dkv,decode" },
  dims: { type: "string" },
  lengths: { type: "string" },
  heads: { type: "string" },
  causal: { type: "boolean", default: false },
} as const;

const KEYS = [32768, 4096, 131072, 16384, 65536, 8192];
const DEFAULTS = {
  software: { seconds: 90, dims: [64], lengths: [256], keys: [1024] },
  quick: { seconds: 150, dims: [64, 128], lengths: [4096], keys: [32768] },
  hardware: { seconds: 540, dims: [64, 128, 32, 256], lengths: [4096, 1024], keys: KEYS },
};

export function sweepOptions(flags: Flags, software: boolean): SweepOptions {
  const quick = Boolean(flags.quick);
  const usual = DEFAULTS[software ? "software" : quick ? "quick" : "hardware"];
  const sizes = (name: string) => {
    if (!flags[name]) return undefined;
    const found = String(flags[name]).split(",").map(Number);
    if (found.every((n) => Number.isInteger(n) && n > 0)) return found;
    throw new RangeError(`--${name}=${flags[name]} is no list of sizes`);
  };
  const known: readonly string[] = SWEEP_FLAGS.kernels.default.split(",");
  const kernels = String(flags.kernels).split(",");
  if (!kernels.every((kernel) => known.includes(kernel))) {
    throw new RangeError(`--kernels=${kernels}: known are ${known.join(", ")}`);
  }
  const seconds = Number(flags.budget ?? usual.seconds);
  if (!(seconds > 0)) throw new RangeError(`--budget=${flags.budget} is no number of seconds`);
  const lengths = sizes("lengths");
  return {
    kernels: kernels as AnyKernel[],
    dims: sizes("dims") ?? usual.dims,
    lengths: lengths ?? usual.lengths,
    keys: lengths ?? usual.keys,
    heads: sizes("heads"),
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
