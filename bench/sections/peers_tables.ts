/**
 * The comparison with other libraries on the terminal and in the result files.
 * @module
 */

import { forwardFlops, shapes } from "../cases.ts";
import type { Context } from "../context.ts";
import { few, least, msOf, nullForNaN, rate, timingFields } from "../measure/statistics.ts";
import {
  digits3,
  mebibytes,
  milliseconds,
  percent,
  printProgress,
  printTable,
  times,
} from "../measure/table.ts";
import type { Entry } from "../process/cell.ts";
import { wantsGradients } from "../process/job.ts";

export const OURS = "flashtile";

/** Milliseconds of a contender, or of the fastest that matches; NaN when none ran. */
export function timeOf(
  entries: readonly Entry[],
  of: string,
  task: string,
  threads: number,
  who: string | RegExp,
): number {
  const wanted = ({ job }: Entry) =>
    job.case.name === of && job.task === task && job.threads === threads &&
    (typeof who === "string" ? job.contender === who : who.test(job.contender));
  return least(entries.filter(wanted).map(msOf));
}

/** One row for each contender; what failed, and why, under the table. */
export function printEntries(title: string, entries: readonly Entry[]): void {
  const rows = entries.filter(({ failed }) => !failed).map((entry) => {
    const { job, timing, calls, peakBytes } = entry, ms = msOf(entry), { name } = job.case;
    const { q, kv } = shapes(job.case);
    return [
      ...[
        name,
        [...new Set([q, kv].map((x) => x.join("×")))].join(),
        `${job.task} · ${job.threads}`,
        job.contender,
      ],
      ...[milliseconds(ms) + few(timing), digits3(speed(entry))],
      times(ms / timeOf(entries, name, job.task, job.threads, OURS)),
      ...[String(calls), percent(timing?.spread ?? NaN), mebibytes(peakBytes ?? NaN)],
    ];
  });
  const head = ["case", "shape", "task · threads", "contender", "call", "GFLOP/s", "/ ours"];
  printTable(title, [...head, "calls a sample", "spread", "peak memory"], rows);
  for (const { job, own = {}, failed } of entries) {
    const who = `${job.case.name} ${job.task} · ${job.threads}: ${job.contender}`;
    if (failed) console.log(`${who}: ${failed}`);
    const figures = Object.entries(own).map(([name, bytes]) => `${name} ${mebibytes(bytes)}`);
    if (figures.length) console.log(`${who} says ${figures.join(", ")}`);
  }
}

/** GFLOP/s of a forward pass. */
function speed({ job, timing }: Entry): number {
  return wantsGradients(job) ? NaN : rate(forwardFlops(job.case, job.task === "causal"), timing);
}

/** Keeps and tells what the contenders of a case did, as soon as it ends. */
export function storeEntries(
  { results, store }: Context,
  kind: string,
  section: string,
  entries: readonly Entry[],
): void {
  for (const entry of entries) {
    const { job: { contender, task, threads, case: { name } }, timing, calls = null } = entry;
    results.add(kind, {
      ...{ section, case: name, task, contender, threads, calls },
      ...{ medianMs: null, minMs: null, spread: null, samples: 0 },
      ...timingFields(timing),
      ...{ gflops: nullForNaN(speed(entry)), error: nullForNaN(entry.error) },
      ...{ peakBytes: nullForNaN(entry.peakBytes), failed: entry.failed ?? null },
    });
  }
  store(results);
  const told = entries.map((entry) => {
    const { contender, task, threads } = entry.job;
    const time = entry.failed ? "fails" : milliseconds(msOf(entry)) + few(entry.timing);
    return [`${contender} (${task} · ${threads})`, time];
  });
  if (told.length) printProgress(`${section} ${entries[0]!.job.case.name}`, told);
}
