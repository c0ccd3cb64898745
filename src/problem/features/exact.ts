// What features mean at single pairs, in float64: the formula that `verify` computes rows with.
import type { Place } from "../../expression/symbols.ts";
import type { InputName } from "../../tensor/operands.ts";

/** A pair of a query and a key. */
export interface Pair {
  readonly batch: number;
  /** The query head. */
  readonly head: number;
  readonly query: number;
  readonly key: number;
}

/** What a feature is given of the call. */
export interface ExactCall {
  /** The head of a sequence whose pairs are asked for. */
  readonly place: Place;
  /** The numbers of an operand; axes that it repeats are of stride 0. */
  values(name: InputName): (batch: number, head: number, row: number, column: number) => number;
}

/** What a feature does at each pair of a head. */
export interface ExactFeature {
  /** What a score becomes. */
  readonly score?: (score: number, pair: Pair) => number;
  /** The derivative of that by the score; missing where it is 1. */
  readonly slope?: (score: number, pair: Pair) => number;
  /** Whether a pair exists. */
  readonly shows?: (pair: Pair) => boolean;
  /** A logit that joins the denominator of a row, and no value. */
  readonly joins?: (row: Omit<Pair, "key">) => number;
  /** A factor of a probability on its way to the product with v. */
  readonly weight?: (pair: Pair) => number;
}
