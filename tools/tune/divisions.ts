/**
 * How the keys of a decode step are divided: parts, which are workgroups of their own and merged
 * afterwards, and threads of a workgroup.
 * @module
 */

import { decodeBlock, decodeBytes, type DecodeShape } from "../../shaders/abi.ts";
import { forwardSteps } from "../../src/plan/webgpu/steps.ts";
import { decodeItems } from "../../src/plan/webgpu/work_items.ts";
import type { GpuPlan } from "../../src/plan/webgpu/plan.ts";
import { race, type RaceOptions } from "../../bench/measure/race.ts";
import { reasonOf, type Timing } from "../../bench/measure/statistics.ts";
import type { SweepDevice } from "./device.ts";
import type { Launch, SweepCase } from "./subject.ts";

export interface Division {
  readonly parts: number;
  readonly threads: number;
  readonly timing?: Timing;
  readonly error: number;
  readonly failed?: string;
  /** Raced in turns with the planner's. */
  readonly final?: boolean;
}

const LOOK: RaceOptions = { samples: 2, budgetMs: 200, warmUpMs: 10 };
const FINAL: RaceOptions = { samples: 7, budgetMs: 1000, warmUpMs: 60 };
const PARTS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/** Fewer keys are not worth a workgroup and its share of the merge. */
const LEAST_KEYS = 64;
const MOST_WORKGROUPS = 8192;

/** The planner's division first, then others. */
export function divisions(device: SweepDevice, subject: SweepCase): Promise<Division[]> {
  return new Divisions(device, subject).run();
}

/** A plan with other key parts and threads. */
function divided({ plan, problem }: SweepCase, parts: number, threads: number): GpuPlan {
  const decode: DecodeShape = { ...plan.decode!, threads };
  const regions = plan.regions.map((region) => {
    const rowItems = decodeItems(region, region.spans, parts, decodeBlock(decode));
    const work = { ...region, splits: parts, rowItems };
    return { ...work, steps: forwardSteps(problem, work, "decode") };
  });
  return { ...plan, decode, regions };
}

/** Threads that the kernel takes, besides the planner's. */
function otherThreads(shape: DecodeShape, { open: { target: { limits } } }: SweepDevice): number[] {
  return [64, 128, 256].filter((threads) =>
    threads !== shape.threads && shape.value4 <= threads && threads <= limits.workgroupThreads &&
    decodeBytes({ ...shape, threads }) <= limits.workgroupBytes
  );
}

class Divisions {
  readonly #device: SweepDevice;
  readonly #subject: SweepCase;

  constructor(device: SweepDevice, subject: SweepCase) {
    this.#device = device;
    this.#subject = subject;
  }

  async #look(parts: number, threads: number): Promise<Division> {
    let launch: Launch | undefined;
    try {
      launch = await this.#subject.launch("decode", divided(this.#subject, parts, threads));
      const { error } = launch;
      if (!(error <= this.#subject.tolerance)) {
        return { parts, threads, error, failed: `wrong by ${error.toExponential(1)}` };
      }
      const [timing] = await race(this.#device.clock, [launch.work], LOOK);
      return { parts, threads, error, timing };
    } catch (error) {
      if (this.#device.open.lost) throw error;
      return { parts, threads, error: NaN, failed: reasonOf(error) };
    } finally {
      launch?.dispose();
    }
  }

  /** The planner's division comes first. */
  async run(): Promise<Division[]> {
    const { software } = this.#device.open.target;
    const { plan, c } = this.#subject, shape = plan.decode!, { splits: parts } = plan.regions[0];
    const all = [await this.#look(parts, shape.threads)];
    const each = c.batch * c.kvHeads;
    const others = PARTS.filter((n) =>
      n !== parts && c.lengthK / n >= LEAST_KEYS && n <= 8 * parts && n >= parts / 8 &&
      (n === 1 || n * each <= MOST_WORKGROUPS)
    );
    for (const n of software ? others.slice(-2) : others) {
      all.push(await this.#look(n, shape.threads));
    }
    const best = fastest(all);
    if (!best) return all;
    for (const threads of software ? [] : otherThreads(shape, this.#device)) {
      for (const n of [best.parts, 2 * best.parts]) all.push(await this.#look(n, threads));
    }
    return await this.#final(all);
  }

  /** The best and the planner's in turns. */
  async #final(all: readonly Division[]): Promise<Division[]> {
    const chosen = [...new Set([all[0], fastest(all)])].filter((d) => d?.timing) as Division[];
    const launches: Launch[] = [];
    try {
      for (const { parts, threads } of chosen) {
        const plan = divided(this.#subject, parts, threads);
        launches.push(await this.#subject.launch("decode", plan));
      }
      const works = launches.map(({ work }) => work);
      const timings = await race(this.#device.clock, works, FINAL);
      const raced = new Map(chosen.map((d, n) => [d, { ...d, final: true, timing: timings[n] }]));
      return all.map((d) => raced.get(d) ?? d);
    } finally {
      for (const launch of launches) launch.dispose();
    }
  }
}

export function fastest(all: readonly Division[]): Division | undefined {
  const timed = all.filter(({ timing }) => timing);
  return timed.sort((a, b) => a.timing!.medianMs - b.timing!.medianMs)[0];
}
