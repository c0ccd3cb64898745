/**
 * How the keys of a decode step are divided: KV splits, which are workgroups of their own and merged
 * afterwards, and threads of a workgroup.
 * @module
 */

import { decodeBlock, decodeBytes, type DecodeShape } from "../../shaders/abi.ts";
import type { GpuPlan } from "../../src/plan/webgpu/plan.ts";
import { forwardSteps } from "../../src/plan/webgpu/steps.ts";
import { decodeItems } from "../../src/plan/webgpu/work_items.ts";
import type { RaceOptions } from "../../bench/measure/race.ts";
import { msOf } from "../../bench/measure/statistics.ts";
import type { SweepDevice } from "./device.ts";
import type { SweepCase, Trial } from "./subject.ts";

export interface Division extends Trial {
  readonly parts: number;
  readonly threads: number;
  /** Raced in turns with the planner's. */
  readonly final?: boolean;
}

const LOOK: RaceOptions = { samples: 2, budgetMs: 200, warmUpMs: 10 };
const FINAL: RaceOptions = { samples: 7, budgetMs: 1000, warmUpMs: 60 };
const PARTS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/** Fewer keys are not worth a workgroup and its share of the merge. */
const LEAST_KEYS = 64;
const MOST_WORKGROUPS = 8192;

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

/** The planner's division first, then others; the best and the planner's once more, in turns. */
export async function divisions(device: SweepDevice, subject: SweepCase): Promise<Division[]> {
  const { software } = device.open.target;
  const { plan, c } = subject, shape = plan.decode!, { splits } = plan.regions[0];
  const all: Division[] = [];
  const look = async (parts: number, threads: number) => {
    const trial = await subject.look("decode", () => divided(subject, parts, threads), LOOK);
    all.push({ parts, threads, ...trial });
  };
  await look(splits, shape.threads);
  const others = PARTS.filter((n) =>
    n !== splits && c.lengthK / n >= LEAST_KEYS && n <= 8 * splits && n >= splits / 8 &&
    (n === 1 || n * c.batch * c.kvHeads <= MOST_WORKGROUPS)
  );
  for (const n of software ? others.slice(-2) : others) await look(n, shape.threads);
  const best = fastest(all);
  if (!best) return all;
  for (const threads of software ? [] : otherThreads(shape, device)) {
    for (const n of [best.parts, 2 * best.parts]) await look(n, threads);
  }
  const chosen = [...new Set([all[0], fastest(all)])].filter((d) => d?.timing) as Division[];
  const plans = chosen.map(({ parts, threads }) => divided(subject, parts, threads));
  const timings = await subject.inTurns("decode", plans, FINAL);
  const raced = new Map(chosen.map((d, n) => [d, { ...d, final: true, timing: timings[n] }]));
  return all.map((d) => raced.get(d) ?? d);
}

export function fastest(all: readonly Division[]): Division | undefined {
  return all.filter(({ timing }) => timing).sort((a, b) => msOf(a) - msOf(b))[0];
}
