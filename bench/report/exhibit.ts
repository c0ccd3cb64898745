/**
 * What a report is made of: chapters of plots, each with its figures as a table and its origin.
 * @module
 */

import type { Figure } from "../../tools/plot/figure.ts";
import type { StoredRow } from "../measure/store.ts";
import type { Source } from "./source.ts";

/** A plot with what belongs to it. */
export interface Exhibit {
  /** Of which machine, and what distinguishes it from its neighbours. */
  readonly name: string;
  readonly figure: Figure;
  /** The same in numbers. */
  readonly head: readonly string[];
  readonly table: readonly (readonly string[])[];
  /** The rows that it was made of. */
  readonly rows: readonly StoredRow[];
}

export interface Chapter {
  readonly id: string;
  readonly title: string;
  /** What is shown and how to read it, in a sentence or two. */
  readonly about: string;
  /** None where nothing of it was measured. */
  exhibits(source: Source): Exhibit[];
  /** What measures it. */
  readonly command: string;
}
