/**
 * Decode: key parts and threads, beside what the planner chooses, as a share of the bandwidth.
 * @module
 */

import { type Case, caseOf, kvBytes } from "../../bench/cases.ts";
import type { Context } from "../../bench/context.ts";
import { msOf, outcomeFields, rate, reasonOf } from "../../bench/measure/statistics.ts";
import type { Results } from "../../bench/measure/store.ts";
import { digits3, milliseconds, percent, printTable, times } from "../../bench/measure/table.ts";
import type { SweepDevice } from "./device.ts";
import { type Division, divisions, fastest } from "./divisions.ts";
import type { Deadline, SweepOptions } from "./options.ts";
import { SweepCase } from "./subject.ts";

type Storage = "f32" | "f16";

const HEADS = 32;
const BYTES = { least: 2 ** 24, most: 1.2e9 };

interface DecodeCase {
  readonly c: Case;
  readonly dtype: Storage;
}

function casesOf({ software, quick, dims, keys, heads }: SweepOptions): DecodeCase[] {
  const few = software || quick, all: DecodeCase[] = [];
  const headDim = dims.includes(128) || software ? 128 : dims[0];
  const queryHeads = heads?.[0] ?? HEADS;
  const groups = (software ? [8] : quick ? [1, 8] : [1, 4, 8, 16])
    .filter((group) => queryHeads % group === 0);
  for (const lengthK of keys) {
    for (const batch of few ? [1] : [1, 4, 16]) {
      for (const group of groups) {
        const kvHeads = queryHeads / group;
        const name = `${batch}x${queryHeads}/${kvHeads}x1x${lengthK}x${headDim}`;
        const c = caseOf(name);
        for (const dtype of few ? ["f32"] as const : ["f32", "f16"] as const) {
          all.push({ c, dtype });
        }
      }
    }
  }
  const fits = (bytes: number) => software || (bytes >= BYTES.least && bytes <= BYTES.most);
  return all.filter(({ c }) => fits(kvBytes(c)));
}

/** Sweeps as many cases as there is time for; lines that say what was best. */
export async function sweepDecode(
  context: Context,
  sweep: SweepOptions,
  device: SweepDevice,
  deadline: Deadline,
  results: Results,
): Promise<string[]> {
  const { readGBs, copyGBs } = await context.limits(), cases = casesOf(sweep);
  const rows: string[][] = [], groups: number[] = [], gains: number[] = [];
  for (const [n, { c, dtype }] of cases.entries()) {
    if (deadline.passed) {
      console.log(`${cases.length - n} cases left out: no time for them`);
      break;
    }
    const subject = SweepCase.forward(device, c, false, dtype);
    const bytes = kvBytes(c) / (dtype === "f16" ? 2 : 1);
    try {
      if (!subject.plan.decode) throw new Error("the planner does not take it for decode");
      const found = await divisions(device, subject);
      const best = fastest(found.filter(({ final }) => final)), [planned] = found;
      for (const division of found) {
        const { parts, threads, timing, failed } = division, gbs = rate(bytes, timing);
        results.add("gpu-sweep", {
          ...{ kernel: "decode", case: c.name, dtype, parts, threads },
          workgroups: parts * c.batch * c.kvHeads,
          table: division === planned,
          final: division.final ?? false,
          ...outcomeFields(division, { gbs, share: gbs / readGBs, shareOfCopy: gbs / copyGBs }),
        });
        if (failed) console.log(`${c.name} ${dtype}, ${parts} parts, ${threads}: ${failed}`);
      }
      if (!best) continue;
      const gain = msOf(planned) / msOf(best);
      groups.push(best.parts * c.batch * c.kvHeads);
      gains.push(gain);
      rows.push([
        `${c.name} ${dtype}`,
        digits3(bytes / 1e6),
        ...described(planned, bytes, readGBs),
        ...described(best, bytes, readGBs),
        milliseconds(msOf(best)),
        times(gain),
      ]);
    } catch (error) {
      if (device.open.lost) throw error;
      console.log(`${c.name} ${dtype}: ${reasonOf(error)}`);
    } finally {
      subject.dispose();
    }
  }
  const head = ["case", "K/V MB", "planner", "of read", "best", "of read", "step", "gain"];
  printTable("Decode, key parts x threads", head, rows);
  if (groups.length === 0) return ["// decode: nothing has a figure"];
  const middle = (values: number[]) => digits3(values.sort((a, b) => a - b)[values.length >> 1]);
  const least = digits3(Math.min(...groups)), most = digits3(Math.max(...groups));
  return [
    `// decode: best with ${least} to ${most} workgroups (median ${middle(groups)}) in ` +
    `${groups.length} cases; the planner's division takes ${middle(gains)}× as long (median)`,
  ];
}

function described({ parts, threads, timing }: Division, bytes: number, readGBs: number) {
  return [`${parts} x ${threads}`, percent(rate(bytes, timing) / readGBs)];
}
