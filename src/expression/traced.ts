// What a score or mask function is to the rest of the library. It carries its own code (checks, programs), so that
// programs that make no such function have none of it in their bundle.
import type { Complaint } from "../tensor/errors.ts";
import type { EncodedProgram } from "./encoding.ts";
import type { Derivative } from "./derivative.ts";
import type { Graph } from "./graph.ts";
import type { HeldIntegers } from "./held.ts";
import type { Domain, ExtremesOf } from "./intervals.ts";
import type { Rectangle } from "./rectangle.ts";
import type { Classifier } from "./verdict.ts";

/** What the program of a function must do beside. */
export interface WantedProgram {
  /** Store the slope. */
  readonly slope: boolean;
  /** Leave scores alone that are minus infinity. */
  readonly holes: boolean;
}

/** A function that was run on symbols. */
export interface Traced {
  readonly kind: "scoreMod" | "maskMod";
  readonly graph: Graph;
  /**
   * The same function for a call over these domains, with what it holds on to until the call has ended. Throws where an index
   * of a captured array could lie outside of it, or an array is not there any more.
   */
  checked(domains: readonly Domain[], complaint: Complaint): Traced;
  /** What kernels read in the place of captured arrays. */
  readonly held?: HeldIntegers;
  /** The derivative of a function of scores. */
  derivative(): Derivative | undefined;
  /** Of a mask: what it says about whole tiles, over all places of a domain. */
  readonly classifier?: (domain: Domain, known: ExtremesOf) => Classifier;
  /**
   * Of a mask whose verdicts were found beforehand, so that each may be asked for: the powers of two that divide the
   * queries and the keys at which they change.
   */
  readonly grain?: readonly [rows: number, keys: number];
  /** What the CPU's interpreter runs, for tiles of up to `rows` rows. */
  program(wanted: WantedProgram, rows: number): EncodedProgram;
  /**
   * ... and what it runs on tiles of dS for the gradients of captured arrays, which lie one behind the other in a
   * thread's sums. Undefined where none wants any.
   */
  gradientProgram?(rows: number): EncodedProgram | undefined;
  /** The same function of the pairs of a rectangle, whose queries and keys count from its begin. */
  within(rectangle: Rectangle): Traced;
}

/** Under which a function keeps it; shared by copies of the library. */
const TRACED: unique symbol = Symbol.for("flashtile.traced") as typeof TRACED;

/** An object that keeps a traced function. */
export interface Carrier {
  readonly [TRACED]: Traced;
}

/** What a class of functions keeps. */
export function carry(traced: Traced): Carrier {
  return { [TRACED]: traced };
}

/** What a caller's value keeps; undefined where it is something else, or of another kind. */
export function tracedOf(mod: unknown, kind: Traced["kind"]): Traced | undefined {
  const traced = typeof mod === "object" && mod !== null && TRACED in mod
    ? mod[TRACED] as Traced
    : undefined;
  return traced?.kind === kind ? traced : undefined;
}

/** Sizes that calls with a block mask must have; undefined: any, because it does not tell those apart. */
export interface BlockMaskSizes {
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly batch: number | undefined;
  readonly queryHeads: number | undefined;
  readonly kvHeads: number | undefined;
}

/** What a block mask is to the rest of the library: a mask that has its verdicts. */
export interface TracedBlocks {
  readonly sizes: BlockMaskSizes;
  readonly traced: Traced;
}

const BLOCKS: unique symbol = Symbol.for("flashtile.blocks") as typeof BLOCKS;

/** What a class of block masks keeps. */
export function carryBlocks(blocks: TracedBlocks): object {
  return { [BLOCKS]: blocks };
}

/** What a caller's value keeps; undefined where it is no block mask. */
export function blocksOf(mask: unknown): TracedBlocks | undefined {
  return typeof mask === "object" && mask !== null && BLOCKS in mask
    ? mask[BLOCKS] as TracedBlocks
    : undefined;
}
