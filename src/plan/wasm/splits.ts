// Into how many key ranges a problem is cut so that every thread has work. Depends on the problem and
// the number of threads only, so results keep their bits from run to run.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";

/** Keys below which a decode part is not worth its merge. */
const DECODE_PART = 512;
/** Keys below which a backward part is not worth its partial dQ. */
const BACKWARD_PART = 192;

/** Key ranges that are computed apart and then joined. `groups`: kv groups that run at the same time. */
export function keyParts(
  kernel: KernelName,
  problem: AttentionProblem,
  threads: number,
  groups: number,
): number {
  if (threads === 1 || kernel === "forward") return 1;
  if (groups === 0) return 1;
  // many groups balance by themselves; decode items are alike, so they also do when they divide evenly
  if (groups >= 8 * threads || (kernel === "decode" && groups % threads === 0)) return 1;
  const least = kernel === "decode" ? DECODE_PART : BACKWARD_PART;
  return Math.max(1, Math.min(threads, Math.floor(problem.lengthK / least)));
}
