/**
 * The sweep of one kernel and head dimension: all tiles on the first case, then relatives of the
 * best, then the best and the table's choice in turns; on other cases only those last.
 * @module
 */

import type { Case } from "../../bench/cases.ts";
import type { RaceOptions } from "../../bench/measure/race.ts";
import { rate, type Timing } from "../../bench/measure/statistics.ts";
import { digits3 } from "../../bench/measure/table.ts";
import { type Candidate, candidateOf, firstCandidates, relatives } from "./candidates.ts";
import type { SweepDevice } from "./device.ts";
import type { Deadline, SweepOptions, SweptKernel } from "./options.ts";
import { SweepCase, type Trial } from "./subject.ts";

/** A candidate on a case. */
export interface Entry extends Candidate, Trial {
  /** The planner's choice. */
  readonly table: boolean;
  /** Ranges of keys that are merged afterwards; parts of the tensors. */
  readonly splits: number;
  readonly regions: number;
  /** Billions of operations of the products that the kernel is for, on visible pairs. */
  readonly gflops: number;
  /** Raced in turns with the other best ones. */
  readonly final: boolean;
}

export interface SweptCase {
  readonly c: Case;
  readonly causal: boolean;
}

export interface Combination extends SweptCase {
  readonly kernel: SweptKernel;
  readonly entries: readonly Entry[];
  /** Candidates that the time did not allow. */
  readonly left: number;
}

/** Products of a kernel; blocks of columns and dk and dv apart make some of them again. */
const PRODUCTS: Record<SweptKernel, number> = { forward: 2, dq: 3, dkv: 4 };
const LOOK: RaceOptions = { samples: 1, budgetMs: 250, warmUpMs: 10 };
const FINAL: RaceOptions = { samples: 7, budgetMs: 1500, warmUpMs: 60 };
const FINALISTS = 5;
const SAY_MS = 5000;
const ALWAYS = { passed: false };

export class TileSweep {
  readonly #device: SweepDevice;
  readonly #kernel: SweptKernel;
  readonly #options: SweepOptions;
  #said = performance.now();

  constructor(device: SweepDevice, kernel: SweptKernel, options: SweepOptions) {
    this.#device = device;
    this.#kernel = kernel;
    this.#options = options;
  }

  /** Every case in its turn, the first with most of the time. */
  async run(cases: readonly SweptCase[], deadline: Deadline): Promise<Combination[]> {
    const done: Combination[] = [];
    let best: Candidate[] | undefined;
    for (const [n, one] of cases.entries()) {
      const rest = cases.length - n - 1;
      if (n > 0 && deadline.passed) break;
      const share = deadline.share(rest === 0 ? 1 : n === 0 ? 0.7 : 1 / (rest + 1));
      const found = await this.#combination(one, share, best);
      done.push(found);
      best ??= ranked(found.entries).slice(0, FINALISTS + 1);
    }
    return done;
  }

  async #combination(
    { c, causal }: SweptCase,
    deadline: Deadline,
    best: readonly Candidate[] | undefined,
  ): Promise<Combination> {
    const kernel = this.#kernel, device = this.#device;
    const subject = kernel === "forward"
      ? SweepCase.forward(device, c, causal)
      : await SweepCase.backward(device, c, causal);
    try {
      const table = candidateOf(kernel, c.headDim, subject.plan[kernel]!);
      const entries = new Map<string, Entry>();
      let left = 0;
      const look = async (some: readonly Candidate[], until: Pick<Deadline, "passed">) => {
        const fresh = some.filter(({ id }, n) =>
          !entries.has(id) && some.findIndex((other) => other.id === id) === n
        );
        for (const [n, candidate] of fresh.entries()) {
          if (until.passed) {
            left += fresh.length - n;
            break;
          }
          const isTable = candidate.id === table.id;
          entries.set(candidate.id, await this.#look(subject, candidate, isTable));
          this.#say(subject, entries, n + 1, fresh.length);
        }
      };
      await look([table], ALWAYS);
      if (best) await look(best, ALWAYS);
      else {
        const needs = { headDim: c.headDim, valueDim: c.headDim, flops: subject.plan.cost.flops };
        const { target } = device.open, { quick, software } = this.#options;
        await look(firstCandidates(kernel, needs, target, quick), deadline.share(0.7));
        // The best tiles, whose relatives are tried.
        const parents = ranked([...entries.values()]).slice(0, software ? 0 : quick ? 1 : 4);
        const more = parents.flatMap((parent) => relatives(kernel, needs, target, parent));
        await look(more, deadline.share(0.9));
      }
      for (const entry of await this.#final(subject, [...entries.values()])) {
        entries.set(entry.id, entry);
      }
      return { kernel, c, causal, entries: [...entries.values()], left };
    } finally {
      subject.dispose();
    }
  }

  async #look(subject: SweepCase, candidate: Candidate, table: boolean): Promise<Entry> {
    let where = { splits: 1, regions: 1 };
    const trial = await subject.look(this.#kernel, () => {
      const plan = subject.planWith(this.#kernel, candidate.chosen);
      where = { splits: plan.regions[0].splits, regions: plan.regions.length };
      return plan;
    }, LOOK);
    const gflops = this.#rate(subject, trial.timing);
    return { ...candidate, table, final: false, ...trial, ...where, gflops };
  }

  #rate({ plan, c }: SweepCase, timing: Timing | undefined): number {
    return rate(2 * plan.cost.visiblePairs * c.headDim * PRODUCTS[this.#kernel], timing);
  }

  /** The best and the table's choice again. */
  async #final(subject: SweepCase, entries: readonly Entry[]): Promise<Entry[]> {
    const chosen = ranked(entries).filter(({ table }, n) => table || n < FINALISTS);
    const plans = chosen.map((entry) => subject.planWith(this.#kernel, entry.chosen));
    const timings = await subject.inTurns(this.#kernel, plans, FINAL);
    return timings.map((timing, n) => {
      return { ...chosen[n], final: true, timing, gflops: this.#rate(subject, timing) };
    });
  }

  #say({ c, causal }: SweepCase, entries: Map<string, Entry>, n: number, of: number): void {
    if (performance.now() - this.#said < SAY_MS) return;
    this.#said = performance.now();
    const [best] = ranked([...entries.values()]);
    const what = `${this.#kernel} ${c.name}${causal ? " causal" : ""}`;
    console.log(`${what}: ${n} of ${of}; ${best?.id ?? "none"} ${digits3(best?.gflops)} GFLOP/s`);
  }
}

/** Those with a figure, fastest first. */
export function ranked(entries: readonly Entry[]): Entry[] {
  return entries.filter(({ timing }) => timing).sort((a, b) => b.gflops - a.gflops);
}
