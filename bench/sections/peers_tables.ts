/**
 * The comparison on the terminal and in the result files.
 * @module
 */

import { forwardFlops } from "../cases.ts";
import { few, least, msOf, nullForNaN, rate, timingFields } from "../measure/statistics.ts";
import type { Results } from "../measure/store.ts";
import { digits3, mebibytes, printTable, times } from "../measure/table.ts";
import type { Entry } from "../process/cell.ts";
import { type Cell, type PeerSection, TITLES } from "./peers_plan.ts";

export interface CellResult {
  readonly cell: Cell;
  readonly entries: readonly Entry[];
}

/** One table for a section; what failed, and why, under it. */
export function printSection(section: PeerSection, cells: readonly CellResult[]): void {
  const speeds = !["memory", "decode", "backward"].includes(section);
  const show = (entry: Entry, { cell }: CellResult) => {
    if (section === "memory") return mebibytes(entry.peakBytes ?? NaN);
    const flops = forwardFlops(cell.case, cell.task === "causal");
    return digits3(speeds ? rate(flops, entry.timing) : msOf(entry)) + few(entry.timing);
  };
  const { head, rows } = grid(cells, show);
  const unit = speeds ? "GFLOP/s" : section === "memory" ? "" : "ms";
  const titles = [unit, ...head, ...(speeds ? ["/ ort-web", "/ best wasm"] : [])];
  const lines = cells.map((result, i) => [
    ...[label(result), ...rows[i]],
    ...(speeds ? ratios(result) : []),
  ]);
  printTable(TITLES[section], titles, lines);
  if (section === "memory") printOwn(cells);
  printFailures(cells);
}

/** Milliseconds of one contender, or NaN when it did not run. */
export function timeOf(
  entries: readonly Entry[],
  task: string,
  threads: number,
  contender: string,
): number {
  return msOf(
    entries.find(({ job }) =>
      job.contender === contender && job.task === task && job.threads === threads
    ),
  );
}

/** The shortest time among the contenders that match; NaN when none ran. */
export function fastest(entries: readonly Entry[], task: string, peers: RegExp): number {
  return least(
    entries.filter(({ job }) => job.task === task && peers.test(job.contender)).map(msOf),
  );
}

function label({ cell }: CellResult): string {
  const c = cell.case;
  const heads = c.kvHeads === c.queryHeads ? c.queryHeads : `${c.queryHeads}/${c.kvHeads}`;
  const lengths = c.lengthQ === c.lengthK ? c.lengthK : `${c.lengthQ}×${c.lengthK}`;
  return `${c.name} (${c.batch},${heads},${lengths},${c.headDim}) ${cell.task} · ${cell.threads}`;
}

/** Distinct columns in the order of their first appearance. */
function columns(cells: readonly CellResult[]): string[] {
  return [...new Set(cells.flatMap(({ cell, entries }) => entries.map((e) => column(e, cell))))];
}

/** A job that differs from its cell says how. */
function column(entry: Entry, cell: CellResult["cell"]): string {
  const { contender, task, threads } = entry.job;
  const role = task === cell.task
    ? ""
    : ` ${task.replace("causal-", "").replace("causal", "forward")}`;
  return `${contender}${role}${threads === cell.threads ? "" : ` · ${threads}`}`;
}

function grid(
  cells: readonly CellResult[],
  show: (entry: Entry, result: CellResult) => string,
): { head: string[]; rows: string[][] } {
  const head = columns(cells);
  const rows = cells.map((result) =>
    head.map((name) => {
      const entry = result.entries.find((e) => column(e, result.cell) === name);
      if (!entry) return "";
      return entry.failed
        ? (entry.failed.startsWith("does not apply") ? "–" : "fails")
        : show(entry, result);
    })
  );
  return { head, rows };
}

/** What libraries say of their own memory. */
function printOwn(cells: readonly CellResult[]): void {
  for (const result of cells) {
    for (const { job, own } of result.entries) {
      if (!own) continue;
      const figures = Object.entries(own).map(([name, bytes]) => `${name} ${mebibytes(bytes)}`);
      console.log(`${label(result)}: ${job.contender} says ${figures.join(", ")}`);
    }
  }
}

function ratios({ cell, entries }: CellResult): string[] {
  const ours = timeOf(entries, cell.task, cell.threads, "flashtile");
  return [/^onnxruntime-web/, /^(onnxruntime-web|tfjs-wasm|jax-js)/].map((peers) =>
    times(fastest(entries, cell.task, peers) / ours)
  );
}

function printFailures(cells: readonly CellResult[]): void {
  for (const result of cells) {
    for (const entry of result.entries) {
      if (!entry.failed || entry.failed.startsWith("does not apply")) continue;
      console.log(`${label(result)}: ${entry.job.contender} fails: ${entry.failed}`);
    }
  }
}

/** Keeps every entry of a cell under kind `peers`. */
export function storeCell(section: string, { cell, entries }: CellResult, results: Results): void {
  for (const { job, timing, peakBytes, failed } of entries) {
    results.add("peers", {
      section,
      case: cell.case.name,
      task: job.task,
      contender: job.contender,
      threads: job.threads,
      ...{ medianMs: null, minMs: null, spread: null, samples: 0 },
      ...timingFields(timing),
      peakBytes: nullForNaN(peakBytes),
      failed: failed ?? null,
    });
  }
}
