/**
 * Tables, stored rows and suggestions of a sweep.
 * @module
 */

import { few, msOf, outcomeFields } from "../../bench/measure/statistics.ts";
import type { Results } from "../../bench/measure/store.ts";
import { digits3, milliseconds, percent, printTable } from "../../bench/measure/table.ts";
import { tileName, tileText } from "./candidates.ts";
import { type Combination, type Entry, ranked } from "./tiles.ts";

const SHOWN = 16;

const caseOf = ({ c, causal }: Combination): string => c.name + (causal ? " causal" : "");

/** How a tile was made, where that is not the usual way. */
function notes({ table, named, splits, regions, note, final }: Entry): string {
  return [
    table && "the table's",
    named,
    splits > 1 && `${splits} KV splits`,
    regions > 1 && `${regions} regions`,
    note,
    !final && "one look",
  ].filter(Boolean).join(", ");
}

export function reportCombination(found: Combination, peakGflops: number, results: Results): void {
  const good = ranked(found.entries);
  const shown = good.filter(({ table }, n) => n < SHOWN || table);
  const rows = shown.map((entry) => [
    entry.id,
    digits3(entry.gflops) + few(entry.final ? entry.timing : undefined),
    percent(entry.gflops / peakGflops),
    milliseconds(msOf(entry)),
    String(entry.chosen.bytes),
    String(entry.chosen.registers),
    entry.error.toExponential(0),
    milliseconds(entry.compileMs),
    notes(entry),
  ]);
  const head = ["nx x ny, tm x tn", "GFLOP/s", "of peak", "launch", "bytes", "registers"];
  printTable(`${found.kernel}, ${caseOf(found)}`, [...head, "error", "compiled", ""], rows);
  if (good.length > shown.length) console.log(`and ${good.length - shown.length} slower ones`);
  if (found.left) console.log(`${found.left} candidates left out: no time for them`);
  for (const entry of found.entries) {
    if (entry.failed) console.log(`${entry.id}: ${entry.failed}`);
    const { tile, bytes, registers, blockChunks, fused } = entry.chosen;
    const { table, final, named, note, splits, regions, gflops, compileMs } = entry;
    results.add("gpu-sweep", {
      ...{ kernel: found.kernel, case: found.c.name, causal: found.causal },
      ...tile,
      resident: tile.resident ?? false,
      ...{ blockChunks, together: fused, bytes, registers },
      ...{ table, final, named, note, splits, regions },
      ...outcomeFields(entry, { gflops, share: gflops / peakGflops, compileMs }),
    });
  }
}

/** Figures of a tile over the best of each case, as a geometric mean; NaN unless raced in all. */
function standing(id: string, found: readonly Combination[]): number {
  const shares = found.map(({ entries }) => {
    const finals = ranked(entries).filter(({ final }) => final);
    return (finals.find((entry) => entry.id === id)?.gflops ?? NaN) / finals[0]?.gflops;
  });
  return Math.exp(shares.reduce((sum, share) => sum + Math.log(share), 0) / shares.length);
}

/** The row that the planner's table should have for this head dimension. */
export function suggestion(found: readonly Combination[], peakGflops: number): string[] {
  const first = found[0], at = `${first.kernel}, D ${first.c.headDim}`;
  const finals = ranked(first.entries).filter(({ final }) => final);
  const scored = finals.map((entry) => ({ entry, score: standing(entry.id, found) }))
    .filter(({ score }) => !Number.isNaN(score))
    .sort((a, b) => b.score - a.score);
  if (scored.length === 0) return [`// ${at}: no tile has a figure on every case`];
  const { entry, score } = scored[0], table = scored.find(({ entry }) => entry.table);
  const { chosen: { tile, registers }, gflops } = entry;
  const present = table
    ? table.entry === entry
      ? "the table has it"
      : `the table has ${table.entry.id}, ${digits3(score / table.score)}× slower`
    : "the table's tile has no figure";
  const how = entry.id.slice(tileName(tile).length).trim();
  return [
    `// ${at}: ${digits3(gflops)} GFLOP/s on ${caseOf(first)}, ${percent(gflops / peakGflops)}; ` +
    `${found.length} cases; ${present}`,
    ...(entry.note ? [`// made ${how || "whole"}, ${registers} registers; ${entry.note}`] : []),
    tileText(tile),
  ];
}
