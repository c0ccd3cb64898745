/**
 * Results kept as JSON lines, one file per kind, appended: a history that plain tools can read.
 * @module
 */

import { appendFileSync, mkdirSync } from "node:fs";
import type { Machine } from "./machine.ts";

/** One measured figure or row. Fields depend on the kind; numbers carry their unit in the name. */
export type Row = Readonly<Record<string, string | number | boolean | null>>;

const FOLDER = new URL("./results/", import.meta.url);

/** Collects rows during a run and writes them at its end, if asked to. */
export class Results {
  readonly #rows = new Map<string, Row[]>();

  add(kind: string, row: Row): void {
    const rows = this.#rows.get(kind);
    if (rows) rows.push(row);
    else this.#rows.set(kind, [row]);
  }

  rows(kind: string): readonly Row[] {
    return this.#rows.get(kind) ?? [];
  }

  /** Appends `results/<kind>.jsonl`, each line with the machine it was measured on. */
  store(machine: Machine): void {
    mkdirSync(FOLDER, { recursive: true });
    for (const [kind, rows] of this.#rows) {
      const lines = rows.map((row) => JSON.stringify({ ...row, machine }) + "\n").join("");
      appendFileSync(new URL(`${kind}.jsonl`, FOLDER), lines);
      console.log(`stored ${rows.length} rows in bench/results/${kind}.jsonl`);
    }
  }
}
