/**
 * Tables, stored rows and suggestions of a sweep of tiles.
 * @module
 */

import { few, msOf, outcomeFields, rate } from "../../bench/measure/statistics.ts";
import type { Results } from "../../bench/measure/store.ts";
import { digits3, milliseconds, percent, printTable } from "../../bench/measure/table.ts";
import { type Candidate, tileName, tileText } from "./candidates.ts";
import { ranked, type Seen } from "./contest.ts";
import type { Combination } from "./tiles.ts";

const SHOWN = 16;

/** Ranges of keys that are merged afterwards, and parts of the tensors. */
function partsOf({ plan }: Seen<Candidate>): { splits: number; regions: number } {
  return { splits: plan?.regions[0]?.splits ?? 1, regions: plan?.regions.length ?? 1 };
}

/** How a tile was made, where that is not the usual way. */
function notes(entry: Seen<Candidate>): string {
  const { splits, regions } = partsOf(entry), { named, note } = entry.candidate;
  return [
    entry.planned && "the table's",
    named,
    splits > 1 && `${splits} KV splits`,
    regions > 1 && `${regions} regions`,
    note,
    !entry.final && "one look",
  ].filter(Boolean).join(", ");
}

export function reportCombination(found: Combination, peakGflops: number, results: Results): void {
  const good = ranked(found.entries);
  const shown = good.filter(({ planned }, n) => n < SHOWN || planned);
  const rows = shown.map((entry) => {
    const { id, chosen } = entry.candidate, gflops = rate(found.flops, entry.timing);
    return [
      ...[id, digits3(gflops) + few(entry.final ? entry.timing : undefined)],
      ...[percent(gflops / peakGflops), milliseconds(msOf(entry))],
      ...[String(chosen.bytes), String(chosen.registers)],
      ...[entry.error.toExponential(0), milliseconds(entry.compileMs), notes(entry)],
    ];
  });
  const head = ["nx x ny, tm x tn", "GFLOP/s", "of peak", "launch", "bytes", "registers"];
  printTable(`${found.kernel}, ${found.title}`, [...head, "error", "compiled", ""], rows);
  if (good.length > shown.length) console.log(`and ${good.length - shown.length} slower ones`);
  if (found.left) console.log(`${found.left} candidates left out: no time for them`);
  for (const entry of found.entries) {
    const { id, named, note, chosen } = entry.candidate, { planned: table, final } = entry;
    if (entry.failed) console.log(`${id}: ${entry.failed}`);
    const { tile, bytes, registers, blockChunks, fused } = chosen;
    const gflops = rate(found.flops, entry.timing), { compileMs } = entry;
    results.add("gpu-sweep", {
      ...{ kernel: found.kernel, case: found.c.name, causal: found.causal },
      ...{ ...tile, resident: tile.resident ?? false },
      ...{ blockChunks, together: fused, bytes, registers },
      ...{ table, final, named, note, ...partsOf(entry) },
      ...outcomeFields(entry, { gflops, share: gflops / peakGflops, compileMs }),
    });
  }
}

/** The best time of each case over that of a tile, as a geometric mean; NaN unless raced in all. */
function standing(id: string, found: readonly Combination[]): number {
  const shares = found.map(({ entries }) => {
    const finals = ranked(entries).filter(({ final }) => final);
    return msOf(finals[0]) / msOf(finals.find(({ candidate }) => candidate.id === id));
  });
  return Math.exp(shares.reduce((sum, share) => sum + Math.log(share), 0) / shares.length);
}

/** The row that the planner's table should have for this head dimension. */
export function suggestion(found: readonly Combination[], peakGflops: number): string[] {
  const first = found[0]!, at = `${first.kernel}, D ${first.c.headDim}`;
  const scored = ranked(first.entries).filter(({ final }) => final)
    .map((entry) => ({ ...entry, score: standing(entry.candidate.id, found) }))
    .filter(({ score }) => !Number.isNaN(score))
    .sort((a, b) => b.score - a.score);
  const [best] = scored;
  if (!best) return [`// ${at}: no tile has a figure on every case`];
  const table = scored.find(({ planned }) => planned);
  const { id, note, chosen: { tile, registers } } = best.candidate;
  const gflops = rate(first.flops, best.timing);
  const present = table
    ? table === best
      ? "the table has it"
      : `the table has ${table.candidate.id}, ${digits3(best.score / table.score)}× slower`
    : "the table's tile has no figure";
  const how = id.slice(tileName(tile).length).trim() || "whole";
  return [
    `// ${at}: ${digits3(gflops)} GFLOP/s on ${first.title}, ${percent(gflops / peakGflops)}; ` +
    `${found.length} cases; ${present}`,
    ...(note ? [`// made ${how}, ${registers} registers; ${note}`] : []),
    tileText(tile),
  ];
}
