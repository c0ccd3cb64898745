/**
 * The comparison with other libraries on the terminal and in the result files.
 * @module
 */

import { type Case, forwardFlops } from "../cases.ts";
import { few, least, msOf, nullForNaN, rate, timingFields } from "../measure/statistics.ts";
import type { Results } from "../measure/store.ts";
import { digits3, mebibytes, milliseconds, percent, printTable, times } from "../measure/table.ts";
import type { Entry } from "../process/cell.ts";
import { type Job, wantsGradients } from "../process/job.ts";

export const OURS = "flashtile";

/** Milliseconds of one contender, or NaN when it did not run. */
export function timeOf(
  entries: readonly Entry[],
  of: string,
  task: string,
  threads: number,
  contender: string,
): number {
  return msOf(alike(entries, of, task, threads).find(({ job }) => job.contender === contender));
}

/** The shortest time among the contenders that match; NaN when none ran. */
export function fastest(
  entries: readonly Entry[],
  of: string,
  task: string,
  threads: number,
  peers: RegExp,
): number {
  return least(
    alike(entries, of, task, threads).filter(({ job }) => peers.test(job.contender)).map(msOf),
  );
}

function alike(entries: readonly Entry[], of: string, task: string, threads: number): Entry[] {
  return entries.filter(({ job }) =>
    job.case.name === of && job.task === task && job.threads === threads
  );
}

/** One row for each contender; what failed, and why, under the table. */
export function printEntries(title: string, entries: readonly Entry[]): void {
  const rows = entries.filter(({ failed }) => !failed).map((entry) => {
    const { job, timing, calls, peakBytes } = entry;
    const ours = timeOf(entries, job.case.name, job.task, job.threads, OURS);
    return [
      job.case.name,
      shapeOf(job.case),
      `${job.task} · ${job.threads}`,
      job.contender,
      milliseconds(msOf(entry)) + few(timing),
      digits3(speed(job, entry)),
      times(msOf(entry) / ours),
      String(calls),
      percent(timing?.spread ?? NaN),
      mebibytes(peakBytes ?? NaN),
    ];
  });
  const head = ["case", "shape", "task · threads", "contender", "call", "GFLOP/s", "/ ours"];
  printTable(title, [...head, "calls a sample", "spread", "peak memory"], rows);
  for (const { job, own, failed } of entries) {
    const who = `${job.case.name} ${job.task} · ${job.threads}: ${job.contender}`;
    if (failed) {
      console.log(`${who} ${failed.startsWith("does not apply") ? "" : "fails: "}${failed}`);
    }
    if (!own) continue;
    const figures = Object.entries(own).map(([name, bytes]) => `${name} ${mebibytes(bytes)}`);
    console.log(`${who} says ${figures.join(", ")}`);
  }
}

function shapeOf(c: Case): string {
  const heads = c.kvHeads === c.queryHeads ? c.queryHeads : `${c.queryHeads}/${c.kvHeads}`;
  const lengths = c.lengthQ === c.lengthK ? c.lengthK : `${c.lengthQ}×${c.lengthK}`;
  return `(${c.batch},${heads},${lengths},${c.headDim})`;
}

/** GFLOP/s of a forward pass. */
function speed(job: Job, { timing }: Entry): number {
  return wantsGradients(job) ? NaN : rate(forwardFlops(job.case, job.task === "causal"), timing);
}

export function storeEntries(
  kind: string,
  section: string,
  entries: readonly Entry[],
  results: Results,
): void {
  for (const { job, timing, calls, error, peakBytes, failed } of entries) {
    const { contender, task, threads } = job;
    results.add(kind, {
      ...{ section, case: job.case.name, task, contender, threads },
      gflops: nullForNaN(speed(job, { job, timing })),
      ...{ medianMs: null, minMs: null, spread: null, samples: 0 },
      ...timingFields(timing),
      calls: calls ?? null,
      error: nullForNaN(error),
      peakBytes: nullForNaN(peakBytes),
      failed: failed ?? null,
    });
  }
}
