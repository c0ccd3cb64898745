/**
 * What every section of a report shares.
 * @module
 */

import type { Engine } from "../mod.ts";
import type { Case } from "./cases.ts";
import type { Measured } from "./goals.ts";
import type { GpuClock } from "./measure/gpu_clock.ts";
import type { RaceOptions } from "./measure/race.ts";
import type { Results } from "./measure/store.ts";

/** What the machine can do at most: the figures that every share refers to, taken in the same run. */
export interface Limits {
  /** Multiply-adds count two. */
  readonly gflops: number;
  readonly readGBs: number;
  /** Bytes read plus bytes written. */
  readonly copyGBs: number;
}

export type Flags = Readonly<Record<string, string | boolean | undefined>>;

export interface Context {
  readonly backend: "wasm" | "webgpu";
  readonly flags: Flags;
  readonly quick: boolean;
  readonly race: RaceOptions;
  /** Thread counts asked for, ascending. */
  readonly threads: readonly number[];
  readonly results: Results;
  /** Folder with the other libraries. */
  readonly modules: URL;
  /** The cases of a section; those asked for instead, where it takes any. */
  cases(section: string): readonly Case[];
  /** Measured when first asked for. */
  limits(threads?: number): Promise<Limits>;
  /** One engine for each thread count, warm between sections; rejects where there is none. */
  engine(threads?: number): Promise<Engine>;
  /** Writes rows at once, where they are to be stored. */
  store(results: Results): unknown;
  /** The engine's device and its clock in a report of WebGPU. */
  readonly gpu?: GpuClock;
}

/** A section prints its table, keeps its rows, and says how its goals came out. */
export type Section = (context: Context) => Promise<Measured[]>;

/** Rows of the two backends are kept apart. */
export function kindOf({ backend }: Context, section: string): string {
  return backend === "wasm" ? section : `gpu-${section}`;
}
