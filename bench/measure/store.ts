/**
 * Results kept as JSON lines, one file per kind, appended: a history that plain tools can read.
 * @module
 */

import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import type { Machine } from "./machine.ts";

/** One measured figure or row. Fields depend on the kind; numbers carry their unit in the name. */
export type Row = Readonly<Record<string, string | number | boolean | null>>;

/** A row and what it was measured on. */
export interface StoredRow {
  readonly row: Row;
  readonly machine: Machine;
}

const FOLDER = new URL("../results/", import.meta.url);

/** What `results/<kind>.jsonl` holds, oldest first; nothing where no such rows were ever stored. */
export function storedRows(kind: string): StoredRow[] {
  const file = new URL(`${kind}.jsonl`, FOLDER);
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").trim().split("\n").map((line) => {
    const { machine, ...row } = JSON.parse(line) as Row & { machine: Machine };
    return { row: row as Row, machine };
  });
}

/** Collects rows during a run and writes them when asked to, each once. */
export class Results {
  readonly #rows = new Map<string, Row[]>();
  /** Rows of each kind that are written. */
  readonly #stored = new Map<string, number>();

  add(kind: string, row: Row): void {
    this.#rows.set(kind, [...this.#rows.get(kind) ?? [], row]);
  }

  /** Rows of a kind that no file holds yet. */
  unstored(kind: string): readonly Row[] {
    return (this.#rows.get(kind) ?? []).slice(this.#stored.get(kind) ?? 0);
  }

  /** Appends `results/<kind>.jsonl`, each line with the machine it was measured on. */
  store(machine: Machine): void {
    mkdirSync(FOLDER, { recursive: true });
    for (const [kind, all] of this.#rows) {
      const stored = this.#stored.get(kind) ?? 0, rows = all.slice(stored);
      if (rows.length === 0) continue;
      this.#stored.set(kind, all.length);
      const lines = rows.map((row) => JSON.stringify({ ...row, machine }) + "\n").join("");
      appendFileSync(new URL(`${kind}.jsonl`, FOLDER), lines);
      if (stored === 0) console.log(`storing in bench/results/${kind}.jsonl`);
    }
  }
}
