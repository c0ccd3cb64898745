/**
 * How the keys of a decode step are divided: KV splits, which are workgroups of their own and merged
 * afterwards, and threads of a workgroup; beside what the planner chooses, as shares of the bandwidth.
 * @module
 */

import { decodeBlock, decodeBytes, type DecodeShape } from "../../shaders/abi.ts";
import type { GpuPlan } from "../../src/plan/webgpu/plan.ts";
import { forwardSteps } from "../../src/plan/webgpu/steps.ts";
import { decodeItems } from "../../src/plan/webgpu/work_items.ts";
import { type Case, caseOf, kvBytes, operands } from "../../bench/cases.ts";
import type { Context } from "../../bench/context.ts";
import { msOf, outcomeFields, rate, reasonOf } from "../../bench/measure/statistics.ts";
import type { Results } from "../../bench/measure/store.ts";
import { digits3, milliseconds, percent, printTable, times } from "../../bench/measure/table.ts";
import { Contest, ranked, type Seen } from "./contest.ts";
import type { SweepDevice } from "./device.ts";
import type { Deadline, SweepOptions } from "./options.ts";
import { SweepCase } from "./subject.ts";

const HEADS = 32;
const BYTES = { least: 2 ** 24, most: 1.2e9 };

function casesOf({ software, quick, dims, keys, heads }: SweepOptions): Case[] {
  const batches = software || quick ? [1] : [1, 4, 16];
  const headDim = dims.includes(128) || software ? 128 : dims[0];
  const queryHeads = heads?.[0] ?? HEADS;
  const groups = software ? [8] : quick ? [1, 8] : [1, 4, 8, 16];
  const shapes = keys.flatMap((lengthK) =>
    batches.flatMap((batch) =>
      groups.filter((group) => queryHeads % group === 0).map((group) =>
        `${batch}x${queryHeads}/${queryHeads / group}x1x${lengthK}x${headDim}`
      )
    )
  );
  const fits = (bytes: number) => software || (bytes >= BYTES.least && bytes <= BYTES.most);
  return shapes.map((shape) => caseOf(shape)).filter((c) => fits(kvBytes(c)));
}

/** Sweeps as many cases as there is time for; lines that say what was best. */
export async function sweepDecode(
  context: Context,
  sweep: SweepOptions,
  device: SweepDevice,
  deadline: Deadline,
  results: Results,
): Promise<string[]> {
  const { readGBs, copyGBs } = await context.limits();
  const dtypes = sweep.software || sweep.quick ? ["f32"] as const : ["f32", "f16"] as const;
  const cases = casesOf(sweep).flatMap((c) => dtypes.map((dtype) => ({ c, dtype })));
  const rows: string[][] = [], groups: number[] = [], gains: number[] = [];
  for (const [n, { c, dtype }] of cases.entries()) {
    if (deadline.passed) {
      console.log(`${cases.length - n} cases left out: no time for them`);
      break;
    }
    const call = { c, data: operands(c), causal: false };
    const subject = SweepCase.forward(device, call, dtype), name = `${c.name} ${dtype}`;
    const bytes = kvBytes(c) / (dtype === "f16" ? 2 : 1);
    try {
      if (!subject.plan.decode) throw new Error("the planner does not take it for decode");
      const found = await divisions(device, subject, c);
      for (const seen of found) {
        const { candidate: { id, parts, threads }, planned: table, final } = seen;
        const gbs = rate(bytes, seen.timing), workgroups = parts * c.batch * c.kvHeads;
        results.add("gpu-sweep", {
          ...{ kernel: "decode", case: c.name, dtype, parts, threads, workgroups, final, table },
          ...outcomeFields(seen, { gbs, share: gbs / readGBs, shareOfCopy: gbs / copyGBs }),
        });
        if (seen.failed) console.log(`${name}, ${id}: ${seen.failed}`);
      }
      const [best] = ranked(found.filter(({ final }) => final)), [planned] = found;
      if (!best || !planned) continue;
      const gain = msOf(planned) / msOf(best);
      groups.push(best.candidate.parts * c.batch * c.kvHeads);
      gains.push(gain);
      const described = [planned, best]
        .flatMap(({ candidate: { id }, timing }) => [id, percent(rate(bytes, timing) / readGBs)]);
      rows.push([name, digits3(bytes / 1e6), ...described, milliseconds(msOf(best)), times(gain)]);
    } catch (error) {
      if (device.open.lost) throw error;
      console.log(`${name}: ${reasonOf(error)}`);
    } finally {
      subject.dispose();
    }
  }
  const head = ["case", "K/V MB", "planner", "of read", "best", "of read", "step", "gain"];
  printTable("Decode, KV splits x threads", head, rows);
  if (groups.length === 0) return ["// decode: nothing has a figure"];
  const middle = (values: number[]) => digits3(values.sort((a, b) => a - b)[values.length >> 1]!);
  const least = digits3(Math.min(...groups)), most = digits3(Math.max(...groups));
  return [
    `// decode: best with ${least} to ${most} workgroups (median ${middle(groups)}) in ` +
    `${groups.length} cases; the planner's division takes ${middle(gains)}× as long (median)`,
  ];
}

interface Division {
  readonly id: string;
  readonly parts: number;
  readonly threads: number;
}

const LOOK = { samples: 2, budgetMs: 200, warmUpMs: 10 };
const FINAL = { samples: 7, budgetMs: 1000, warmUpMs: 60 };
const PARTS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/** Fewer keys are not worth a workgroup and its share of the merge. */
const LEAST_KEYS = 64;
const MOST_WORKGROUPS = 8192;

function division(parts: number, threads: number): Division {
  return { id: `${parts} x ${threads}`, parts, threads };
}

/** A plan with other key parts and threads. */
function divided({ plan, problem }: SweepCase, { parts, threads }: Division): GpuPlan {
  const decode: DecodeShape = { ...plan.decode!, threads };
  const regions = plan.regions.map((region) => {
    const rowItems = decodeItems(region, region.spans, parts, decodeBlock(decode), () => undefined);
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
async function divisions(
  device: SweepDevice,
  subject: SweepCase,
  c: Case,
): Promise<Seen<Division>[]> {
  const { plan } = subject, shape = plan.decode!, { splits } = plan.regions[0]!;
  const { software } = device.open.target;
  const contest = new Contest<Division>(subject, "decode", (d) => divided(subject, d));
  const others = PARTS.filter((n) =>
    n !== splits && c.lengthK / n >= LEAST_KEYS && n <= 8 * splits && n >= splits / 8 &&
    (n === 1 || n * c.batch * c.kvHeads <= MOST_WORKGROUPS)
  );
  const tried = [splits, ...(software ? others.slice(-2) : others)];
  await contest.look(tried.map((parts) => division(parts, shape.threads)), LOOK);
  const [best] = ranked(contest.seen);
  if (!best) return contest.seen;
  const { parts } = best.candidate, threads = software ? [] : otherThreads(shape, device);
  await contest.look(threads.flatMap((n) => [division(parts, n), division(2 * parts, n)]), LOOK);
  await contest.race(1, FINAL);
  return contest.seen;
}
