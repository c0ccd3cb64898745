/**
 * Goals beside measurements: the closing table of a report.
 * @module
 */

import type { Results } from "./measure/store.ts";
import { digits3, printTable } from "./measure/table.ts";

/** One goal of the project and what was measured for it. */
export interface GoalRow {
  readonly goal: string;
  readonly target: number;
  /** Whether the target is a least or a most. */
  readonly atLeast: boolean;
  readonly unit: string;
  /** One value for each shape the goal covers; the worst decides. NaN: not measured in this run. */
  readonly values: readonly { readonly of: string; readonly value: number }[];
}

/** The value that decides: the smallest of a least, the largest of a most. */
export function decidingValue(row: GoalRow): number {
  const measured = row.values.map((v) => v.value).filter((v) => !Number.isNaN(v));
  if (measured.length === 0) return NaN;
  return row.atLeast ? Math.min(...measured) : Math.max(...measured);
}

export function verdict(row: GoalRow): "met" | "missed" | "not measured" {
  const value = decidingValue(row);
  if (Number.isNaN(value)) return "not measured";
  return (row.atLeast ? value >= row.target : value <= row.target) ? "met" : "missed";
}

/** Prints the table and keeps the rows under kind `goals`. */
export function reportGoals(rows: readonly GoalRow[], results: Results): void {
  const lines = rows.map((row) => [
    row.goal,
    `${row.atLeast ? "≥" : "≤"} ${digits3(row.target)}${row.unit}`,
    `${digits3(decidingValue(row))}${Number.isNaN(decidingValue(row)) ? "" : row.unit}`,
    verdict(row),
    row.values.filter((v) => !Number.isNaN(v.value))
      .map((v) => `${v.of} ${digits3(v.value)}`).join(", "),
  ]);
  printTable("Goals", ["row", "goal", "measured", "verdict", "each"], lines);
  for (const row of rows) {
    results.add("goals", {
      goal: row.goal,
      target: row.target,
      atLeast: row.atLeast,
      measured: nullForNaN(decidingValue(row)),
      verdict: verdict(row),
      each: row.values.map((v) => `${v.of} ${digits3(v.value)}`).join(", "),
    });
  }
}

/** JSON has no NaN. */
export function nullForNaN(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : value;
}
