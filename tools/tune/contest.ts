/**
 * One look at every candidate of a case; then the best and the planner's choice again, in turns, since
 * only what was timed together is compared.
 * @module
 */

import type { RaceOptions } from "../../bench/measure/race.ts";
import { msOf } from "../../bench/measure/statistics.ts";
import type { GpuPlan } from "../../src/plan/webgpu/plan.ts";
import type { AnyKernel, Deadline } from "./options.ts";
import type { SweepCase, Trial } from "./subject.ts";

/** A candidate on a case. */
export interface Seen<Candidate> extends Trial {
  readonly candidate: Candidate;
  readonly plan?: GpuPlan | undefined;
  /** What the planner chooses: the first that was seen. */
  readonly planned: boolean;
  /** Raced in turns with the other best ones. */
  readonly final: boolean;
}

export class Contest<Candidate extends { readonly id: string }> {
  readonly seen: Seen<Candidate>[] = [];
  readonly #subject: SweepCase;
  readonly #kernel: AnyKernel;
  readonly #planOf: (candidate: Candidate) => GpuPlan;
  readonly #late = new Set<string>();

  constructor(subject: SweepCase, kernel: AnyKernel, planOf: (candidate: Candidate) => GpuPlan) {
    this.#subject = subject;
    this.#kernel = kernel;
    this.#planOf = planOf;
  }

  /** Candidates that the time did not allow. */
  get left(): number {
    return this.#late.size;
  }

  /** A look at those that are new. */
  async look(some: readonly Candidate[], options: RaceOptions, until?: Deadline): Promise<void> {
    for (const candidate of some) {
      if (this.seen.some((other) => other.candidate.id === candidate.id)) continue;
      this.#late.add(candidate.id);
      if (until?.passed) continue;
      this.#late.delete(candidate.id);
      let plan: GpuPlan | undefined;
      const make = () => plan = this.#planOf(candidate);
      const trial = await this.#subject.look(this.#kernel, make, options);
      const planned = this.seen.length === 0;
      this.seen.push({ candidate, plan, planned, final: false, ...trial });
    }
  }

  /** The best and the planner's choice once more. */
  async race(finalists: number, options: RaceOptions): Promise<void> {
    const chosen = ranked(this.seen).filter(({ planned }, n) => planned || n < finalists);
    const plans = chosen.map(({ candidate }) => this.#planOf(candidate));
    const timings = await this.#subject.inTurns(this.#kernel, plans, options);
    for (const [n, one] of chosen.entries()) {
      this.seen[this.seen.indexOf(one)] = { ...one, final: true, timing: timings[n] };
    }
  }
}

/** Those with a figure, fastest first. */
export function ranked<Candidate>(seen: readonly Seen<Candidate>[]): Seen<Candidate>[] {
  return seen.filter(({ timing }) => timing).sort((a, b) => msOf(a) - msOf(b));
}
