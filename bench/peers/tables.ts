/**
 * The comparison on the terminal and in the result files.
 * @module
 */

import { forwardFlops } from "../cases.ts";
import { nullForNaN } from "../goals.ts";
import type { Results } from "../measure/store.ts";
import { digits3, mebibytes, printTable, times } from "../measure/table.ts";
import type { Entry } from "./cell.ts";
import { type CellResult, fastest, timeOf } from "./goals.ts";
import type { Section } from "./plan.ts";

/** One table for a section; what failed, and why, under it. */
export function printSection(section: Section, cells: readonly CellResult[]): void {
  if (section.name === "memory") printMemory(section, cells);
  else if (section.name === "decode" || section.name === "backward") printTimes(section, cells);
  else printSpeeds(section, cells);
  printFailures(cells);
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

function printSpeeds(section: Section, cells: readonly CellResult[]): void {
  const { head, rows } = grid(cells, (entry, { cell }) => {
    const ms = entry.timing?.medianMs ?? NaN;
    const causal = cell.task === "causal";
    return digits3(forwardFlops(cell.case, causal) / ms / 1e6) + few(entry);
  });
  const lines = cells.map((result, i) => [label(result), ...rows[i], ...ratios(result)]);
  const titles = ["GFLOP/s", ...head, "/ ort-web", "/ best wasm"];
  printTable(section.title, titles, lines);
}

function printTimes(section: Section, cells: readonly CellResult[]): void {
  const show = (entry: Entry) => digits3(entry.timing?.medianMs ?? NaN) + few(entry);
  const { head, rows } = grid(cells, show);
  printTable(section.title, ["ms", ...head], cells.map((r, i) => [label(r), ...rows[i]]));
}

function printMemory(section: Section, cells: readonly CellResult[]): void {
  const { head, rows } = grid(cells, (entry) => mebibytes(entry.peakBytes ?? NaN));
  printTable(section.title, ["", ...head], cells.map((r, i) => [label(r), ...rows[i]]));
  for (const result of cells) {
    for (const { job, own } of result.entries) {
      if (!own) continue;
      const figures = Object.entries(own).map(([name, bytes]) => `${name} ${mebibytes(bytes)}`);
      console.log(`${label(result)}: ${job.contender} says ${figures.join(", ")}`);
    }
  }
}

/** An asterisk marks a median of fewer than seven samples. */
function few(entry: Entry): string {
  return (entry.timing?.samples ?? 0) < 7 ? "*" : "";
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
      medianMs: nullForNaN(timing?.medianMs),
      minMs: nullForNaN(timing?.minMs),
      spread: nullForNaN(timing?.spread),
      samples: timing?.samples ?? 0,
      peakBytes: nullForNaN(peakBytes),
      failed: failed ?? null,
    });
  }
}
