/**
 * The GPU goals of the project: goal beside measurement, and where there is no verdict,
 * why.
 * @module
 */

import { decidingValue, type GoalRow, nullForNaN, verdict } from "../goals.ts";
import type { Results } from "../measure/store.ts";
import { digits3, printTable } from "../measure/table.ts";

export interface GpuGoal extends GoalRow {
  /** Why nothing was measured, or why what was measured decides nothing. */
  readonly because?: string;
}

/** For goals that only a hardware GPU decides: software figures are shown, without a verdict. */
export function onHardware(software: boolean, goal: GpuGoal): GpuGoal {
  return software ? { because: "a software adapter does not decide", ...goal } : goal;
}

function judge(goal: GpuGoal): string {
  const value = verdict(goal);
  if (value === "not measured") return `not measured: ${goal.because ?? "not in this run"}`;
  return goal.because ? `no verdict: ${goal.because}` : value;
}

export function reportGpuGoals(goals: readonly GpuGoal[], results: Results): void {
  const rows = goals.map((goal) => {
    const value = decidingValue(goal);
    const shown = Number.isNaN(value) ? "–" : digits3(value) + goal.unit;
    const target = `${goal.atLeast ? "≥" : "≤"} ${digits3(goal.target)}${goal.unit}`;
    return [goal.goal, shown, target, judge(goal)];
  });
  printTable("Goals (the worst of the shapes decides)", [
    "row",
    "measured",
    "goal",
    "verdict",
  ], rows);
  for (const goal of goals) {
    const each = goal.values.filter((v) => !Number.isNaN(v.value))
      .map((v) => `${v.of} ${digits3(v.value)}`).join(", ");
    if (each) console.log(`${goal.goal}: ${each}`);
    results.add("goals", {
      goal: goal.goal,
      target: goal.target,
      atLeast: goal.atLeast,
      measured: nullForNaN(decidingValue(goal)),
      verdict: judge(goal),
      each,
    });
  }
}

/** The least any of the values may be, where several rivals are met. */
export function fastestOf(milliseconds: readonly number[]): number {
  const known = milliseconds.filter((ms) => !Number.isNaN(ms));
  return known.length ? Math.min(...known) : NaN;
}
