/**
 * What the sections of the GPU report share.
 * @module
 */

import type { Case } from "../cases.ts";
import type { RaceOptions, Timing } from "../measure/race.ts";
import type { Results, Row } from "../measure/store.ts";
import type { GpuClock } from "../measure/gpu_clock.ts";
import type { Gpu } from "../measure/gpu_device.ts";
import type { Facts } from "../limits/webgpu.ts";
import type { GpuGoal } from "./goals.ts";
import type { GpuEngine } from "../subjects/flashtile_webgpu.ts";
import type { SweepOptions } from "../../tools/tune/options.ts";

/** The library on this machine, or why it is not there. */
export type Ours = { readonly engine: GpuEngine } | { readonly missing: string };

export interface GpuContext {
  readonly gpu: Gpu;
  readonly quick: boolean;
  /** Shapes asked for instead of the section's own. */
  readonly shapes?: readonly Case[];
  readonly race: RaceOptions;
  readonly results: Results;
  readonly ours: Ours;
  /** What the sweep goes through. */
  readonly sweep: SweepOptions;
  /** Writes rows at once, where they are to be stored. */
  store?(results: Results): void;
  /** A clock on the engine's device, or on the bench's own where there is no engine. */
  readonly clock: GpuClock;
  /** Folder with `onnxruntime-web` and `@jax-js/jax`. */
  readonly modules: URL;
  /** Measured when first asked for. */
  facts(): Promise<Facts>;
}

/** A section prints its table, keeps its rows, and says how its goals came out. */
export type GpuSection = (context: GpuContext) => Promise<GpuGoal[]>;

/** The fields of a timing that a stored row carries. */
export function timingFields({ medianMs, minMs, spread, samples }: Timing): Row {
  return { medianMs, minMs, spread, samples };
}

/** Billions a second: operations or bytes of one call over its median time. */
export function rate(amount: number, timing: Timing | undefined): number {
  return timing ? amount / timing.medianMs / 1e6 : NaN;
}

/** An asterisk marks a median of fewer than seven samples. */
export function few(timing: Timing | undefined): string {
  return timing && timing.samples < 7 ? "*" : "";
}

/** A wrong result must not enter a table, however fast it was. */
export function verify(what: string, error: number, tolerance: number): void {
  if (!(error <= tolerance)) throw new Error(`${what} is wrong by ${error.toExponential(1)}`);
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
