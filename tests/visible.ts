/** What structural masks let through, written from the contract and not from src/: for checks of schedules. */

import type { Causal, Window } from "../src/problem/call_options.ts";
import type { AttentionProblem } from "../src/problem/problem.ts";
import { causalAllows, windowAllows } from "./reference/features.ts";

/** Whether structural masks let a query see a key: written from the contract, not from src/. */
export function isVisible(problem: AttentionProblem, batch: number, i: number, j: number): boolean {
  const params = <T>(name: string) =>
    problem.features.find((use) => use.name === name)?.params as T | undefined;
  const keys = params<Int32Array>("keyLengths")?.[batch] ?? problem.lengthK;
  const causal = params<Causal>("causal"), window = params<Window>("window");
  if (j >= keys) return false;
  let offset = keys - problem.lengthQ;
  if (causal === "top-left") offset = 0;
  else if (typeof causal === "object") {
    offset = typeof causal.offset === "number" ? causal.offset : causal.offset[batch];
  }
  if (causal && !causalAllows(i, j, offset)) return false;
  return !window || windowAllows(i, j, offset, window);
}
