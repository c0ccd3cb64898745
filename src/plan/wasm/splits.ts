// Into how many KV splits a problem is cut so that every thread has work. Depends on the problem and
// the number of threads only, so results keep their bits from run to run.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";

/** Keys below which a split of decode is not worth combining. */
const DECODE_SPLIT = 512;
/** Keys below which a split of backward is not worth its partial dQ. */
const BACKWARD_SPLIT = 192;

/** Key ranges that are computed separately and then combined. `groups`: kv groups that run at the same time. */
export function kvSplits(
  kernel: KernelName,
  problem: AttentionProblem,
  threads: number,
  groups: number,
): number {
  if (threads === 1 || kernel === "forward" || kernel === "inside") return 1;
  if (groups === 0) return 1;
  // many groups balance by themselves; decode items are alike, so they also do when they divide evenly
  if (groups >= 8 * threads || (kernel === "decode" && groups % threads === 0)) return 1;
  const least = kernel === "decode" ? DECODE_SPLIT : BACKWARD_SPLIT;
  return Math.max(1, Math.min(threads, Math.floor(problem.lengthK / least)));
}
