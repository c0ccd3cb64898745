// What a race finds out, as data: this is what is shared.
import type { Engine } from "@flashtile/attention";
import type { Contender, Shape } from "./contender.ts";

/** One contender at one length. */
export interface Point {
  readonly contender: Contender["id"];
  readonly name: string;
  readonly length: number;
  /** Milliseconds of a call: the least of `samples`, which other work on the machine disturbed least. */
  readonly ms: number;
  /** Milliseconds of a call in each measurement. */
  readonly samples: readonly number[];
  /** Bytes beyond q, k, v and the result. */
  readonly memoryBytes: number;
  /** Largest difference from float64 in four rows, as a share of the largest value. */
  readonly error: number;
}

/** Where a contender left the race, and why. */
export interface Stop {
  readonly contender: Contender["id"];
  readonly name: string;
  /** The length that it did not run. */
  readonly length: number;
  /** Whether its memory was the reason, or its time. */
  readonly kind: "memory" | "time" | "error";
  readonly why: string;
}

/** What was asked for. */
export interface Settings extends Shape {
  /** A call may take so many milliseconds. */
  readonly limitMs: number;
  /** Matrices of standard attention may take so many bytes. */
  readonly budget: number;
}

/** All of it. */
export interface RaceResult {
  readonly points: Point[];
  readonly stops: Stop[];
}

/** What standard attention is here. */
export const STANDARD: string =
  "Attention that is not fused: all scores of a head are written to memory, then their softmax, then the product with v. " +
  "On the CPU it is made of the same register tiles as flashtile, in WebAssembly, with as many threads or workers (bench/asm/unfused.ts); " +
  "on a GPU of tiled products in workgroup memory (bench/subjects/unfused_shaders.ts).";

/** As a document that says by itself what was measured where. */
export function report(
  { points, stops }: RaceResult,
  settings: Settings,
  engines: readonly Engine[],
): object {
  const { userAgent, hardwareConcurrency } = navigator;
  const { deviceMemory } = navigator as { deviceMemory?: number };
  return {
    what: "flashtile: attention forward over lengths, against standard attention",
    date: new Date().toISOString(),
    standard: STANDARD,
    settings,
    machine: {
      ...{ userAgent, hardwareConcurrency, deviceMemory, crossOriginIsolated },
      engines: engines.map(({ backend, reason, target }) => ({
        backend,
        reason,
        target,
      })),
    },
    points,
    stops,
  };
}
