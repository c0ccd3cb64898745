/**
 * The rows that a report is made of: those of one machine together, the newest of each kind of figure.
 * @module
 */

import type { Machine } from "../measure/machine.ts";
import type { Row, StoredRow } from "../measure/store.ts";

/** Rows of a kind such as `forward`, oldest first. */
export type Source = (kind: string) => readonly StoredRow[];

/** What was measured on one machine. */
export interface OnMachine {
  /** As a heading: the processor, or the GPU. */
  readonly name: string;
  readonly rows: readonly StoredRow[];
}

export function nameOf({ adapter, cpu, cores }: Machine): string {
  return adapter ?? `${cpu}, ${cores} cores`;
}

/** The machines of some rows, the latest first. Software adapters say little about a GPU. */
export function byMachine(rows: readonly StoredRow[]): OnMachine[] {
  const hardware = rows.filter(({ machine }) => machine && !machine.software);
  const groups = Map.groupBy(hardware, ({ machine }) => nameOf(machine));
  const latest = (group: readonly StoredRow[]) =>
    group.map(({ machine }) => machine.date).reduce((a, b) => a > b ? a : b);
  return [...groups].map(([name, rows]) => ({ name, rows }))
    .sort((a, b) => latest(b.rows) > latest(a.rows) ? 1 : -1);
}

/** The last row of each combination of `fields`. */
export function newest(rows: readonly StoredRow[], fields: readonly string[]): StoredRow[] {
  const keyOf = ({ row }: StoredRow) => JSON.stringify(fields.map((field) => row[field] ?? null));
  return [...new Map(rows.map((row) => [keyOf(row), row])).values()];
}

/** A number of a row; NaN where there is none. */
export function number(row: Row, field: string): number {
  const value = row[field];
  return typeof value === "number" ? value : NaN;
}

/** When and by which command each of the rows was made, in words. */
export function origins(rows: readonly StoredRow[]): string[] {
  const runs = rows.map(({ machine: { date, command, deno } }) =>
    `${date.slice(0, 10)}, ${command}, Deno ${deno}`
  );
  return [...new Set(runs)].sort();
}
