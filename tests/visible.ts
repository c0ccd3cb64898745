/** What structural masks let through, written from the contract and not from src/: for checks of schedules. */

import type { Window } from "../src/problem/call_options.ts";
import type { AttentionProblem } from "../src/problem/problem.ts";
import { causalAllows, windowAllows } from "./reference/features.ts";

/** Whether structural masks let a query see a key: written from the contract, not from src/. */
export function isVisible(problem: AttentionProblem, batch: number, i: number, j: number): boolean {
  const params = <T>(name: string) =>
    problem.features.find((use) => use.name === name)?.params as T | undefined;
  const keys = params<readonly number[]>("keyLengths")?.[batch] ?? problem.lengthK;
  const causal = params<string | { offsets: readonly number[] }>("causal");
  const window = params<Window>("window");
  if (j >= keys) return false;
  let offset = keys - problem.lengthQ;
  if (causal === "top-left") offset = 0;
  else if (typeof causal === "object") offset = causal.offsets[batch]!;
  if (causal && !causalAllows(i, j, offset)) return false;
  return !window || windowAllows(i, j, offset, window);
}
