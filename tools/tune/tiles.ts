/**
 * The sweep of one kernel and head dimension: all tiles on the first case, then relatives of the
 * best, then the best and the table's choice in turns; on other cases only those last.
 * @module
 */

import { type Case, operands } from "../../bench/cases.ts";
import { type Candidate, candidateOf, firstCandidates, relatives } from "./candidates.ts";
import { Contest, ranked, type Seen } from "./contest.ts";
import type { SweepDevice } from "./device.ts";
import type { Deadline, SweepOptions, SweptKernel } from "./options.ts";
import { SweepCase } from "./subject.ts";

export interface SweptCase {
  readonly c: Case;
  readonly causal: boolean;
}

export interface Combination extends SweptCase {
  readonly kernel: SweptKernel;
  readonly title: string;
  readonly entries: readonly Seen<Candidate>[];
  /** Candidates that the time did not allow. */
  readonly left: number;
  /** Operations of the products that the kernel is for, on visible pairs. */
  readonly flops: number;
}

/** Products of a kernel; blocks of columns and dk and dv apart make some of them again. */
const PRODUCTS: Record<SweptKernel, number> = { forward: 2, dq: 3, dkv: 4 };
const LOOK = { samples: 1, budgetMs: 250, warmUpMs: 10 };
const FINAL = { samples: 7, budgetMs: 1500, warmUpMs: 60 };
const FINALISTS = 5;

/** Every case in its turn, the first with most of the time. */
export async function sweepTiles(
  device: SweepDevice,
  kernel: SweptKernel,
  options: SweepOptions,
  cases: readonly SweptCase[],
  deadline: Deadline,
): Promise<Combination[]> {
  const done: Combination[] = [];
  for (const [n, one] of cases.entries()) {
    const rest = cases.length - n - 1;
    if (n > 0 && deadline.passed) break;
    const share = deadline.share(rest === 0 ? 1 : n === 0 ? 0.7 : 1 / (rest + 1));
    const best = done.length ? ranked(done[0]!.entries).slice(0, FINALISTS + 1) : undefined;
    const tiles = best?.map(({ candidate }) => candidate);
    done.push(await sweepCase(device, kernel, options, one, share, tiles));
  }
  return done;
}

/** Those tiles on a case, or without any all that are worth a look. */
async function sweepCase(
  device: SweepDevice,
  kernel: SweptKernel,
  { quick, software }: SweepOptions,
  { c, causal }: SweptCase,
  deadline: Deadline,
  tiles?: readonly Candidate[],
): Promise<Combination> {
  const call = { c, data: operands(c), causal };
  const subject = kernel === "forward"
    ? SweepCase.forward(device, call)
    : await SweepCase.backward(device, call);
  try {
    const { plan, title } = subject;
    const needs = { headDim: c.headDim, valueDim: c.headDim, flops: plan.cost.flops };
    const search = { kernel, needs, target: device.open.target };
    const planOf = ({ chosen }: Candidate) => subject.planWith(kernel, chosen);
    const contest = new Contest(subject, kernel, planOf);
    await contest.look([candidateOf(search, plan[kernel]!), ...tiles ?? []], LOOK);
    if (!tiles) {
      await contest.look(firstCandidates(search, quick), LOOK, deadline.share(0.7));
      const parents = ranked(contest.seen).slice(0, software ? 0 : quick ? 1 : 4);
      const more = parents.flatMap(({ candidate }) => relatives(search, candidate));
      await contest.look(more, LOOK, deadline.share(0.9));
    }
    await contest.race(FINALISTS, FINAL);
    const flops = 2 * plan.cost.visiblePairs * c.headDim * PRODUCTS[kernel];
    return { kernel, c, causal, title, entries: contest.seen, left: contest.left, flops };
  } finally {
    subject.dispose();
  }
}
