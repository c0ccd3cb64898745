/**
 * The goals of the project (goals.jsonl) beside what was measured for them.
 * @module
 */

import { readFileSync } from "node:fs";
import { nullForNaN } from "./measure/statistics.ts";
import type { Results } from "./measure/store.ts";
import { digits3, printTable } from "./measure/table.ts";

/** A line of goals.jsonl. */
export interface Goal {
  /** Whose it is and of which section, such as `wasm forward 64`. */
  readonly id: string;
  readonly goal: string;
  readonly target: number;
  /** Whether the target is a least or a most. */
  readonly atLeast: boolean;
  readonly unit: string;
  /** Only a hardware GPU decides: figures of a software adapter are shown, without a verdict. */
  readonly hardware?: boolean;
  /** Another target on a software adapter. */
  readonly software?: number;
  /** For goals against other libraries: which cells, and who is met in them. */
  readonly against?: { readonly [of in "cases" | "task" | "rivals" | "ours"]: string } & {
    readonly threads: number;
  };
}

/** One value for each shape that a goal covers. NaN: not measured in this run. */
export interface Value {
  readonly of: string;
  readonly value: number;
}

/** What a section measured for a goal. */
export interface Measured {
  readonly id: string;
  readonly values: readonly Value[];
  /** Why nothing was measured, or why what was measured decides nothing. */
  readonly because?: string | undefined;
}

export const GOALS: readonly Goal[] = readFileSync(new URL("goals.jsonl", import.meta.url), "utf8")
  .trim().split("\n").map((line) => JSON.parse(line) as Goal);

/** Prints what was measured beside its goals, and keeps both under kind `goals`. */
export function reportGoals(all: readonly Measured[], software: boolean, results: Results): void {
  const rows: string[][] = [];
  const each: string[] = [];
  for (const measured of all) {
    const goal = GOALS.find(({ id }) => id === measured.id);
    if (!goal) throw new Error(`No goal "${measured.id}" in goals.jsonl`);
    const target = software ? goal.software ?? goal.target : goal.target;
    const known = measured.values.filter(({ value }) => !Number.isNaN(value));
    // The worst shape decides.
    const worst = goal.atLeast ? Math.min : Math.max;
    const value = known.length ? worst(...known.map(({ value }) => value)) : NaN;
    const because = measured.because ??
      (software && goal.hardware ? "a software adapter does not decide" : undefined);
    const verdict = judge(goal, target, value, because);
    const shown = Number.isNaN(value) ? "–" : digits3(value) + goal.unit;
    const wanted = `${goal.atLeast ? "≥" : "≤"} ${digits3(target)}${goal.unit}`;
    rows.push([goal.goal, shown, wanted, verdict]);
    const list = known.map(({ of, value }) => `${of} ${digits3(value)}`).join(", ");
    if (list) each.push(`${goal.goal}: ${list}`);
    const row = { goal: goal.goal, target, atLeast: goal.atLeast, verdict, each: list };
    results.add("goals", { ...row, measured: nullForNaN(value) });
  }
  const head = ["row", "measured", "goal", "verdict"];
  printTable("Goals (the worst of the shapes decides)", head, rows);
  for (const line of each) console.log(line);
}

function judge(goal: Goal, target: number, value: number, because?: string): string {
  if (Number.isNaN(value)) return because ? `not measured: ${because}` : "not measured";
  if (because) return `no verdict: ${because}`;
  return (goal.atLeast ? value >= target : value <= target) ? "met" : "missed";
}
