/**
 * The register tiles of the product, each alone. Innocent edits move the speed of a tile by up to two
 * times, and so do V8 releases; in a whole kernel that is hard to see. They are compiled here from
 * the product's sources with the product's flags.
 * @module
 */

import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import type { RaceOptions } from "../measure/race.ts";
import { digits3, percent, printTable } from "../measure/table.ts";
import { timeAlone } from "../measure/wall_clock.ts";
import { asmModule, instantiate, OPERANDS } from "../subjects/asm.ts";

/** `(operands, headDim, repeats)` to the work of one repeat; see bench/asm/tiles.ts. */
type TileBench = (operands: number, headDim: number, repeats: number) => number;

/** Softmax has no products: it is measured in time for four values. */
const SOFTMAX = "benchSoftmax";
const TILES: Readonly<Record<string, string>> = {
  benchScoreTile: "scores, 6 keys × 8 queries",
  benchFoursTile: "scores of bytes, 6 keys × 8 queries, by fours",
  benchPairsTile: "scores of bytes, 4 keys × 8 queries, by twos",
  benchWideTile: "scores of bytes, 1 key × 8 queries, plain SIMD",
  benchOutputTile: "output, 6 columns × 8 queries",
  benchFoursOutput: "output of bytes, 6 columns × 8 queries, by fours",
  benchPairsOutput: "output of bytes, 4 columns × 8 queries, by twos",
  benchWideOutput: "output of bytes, 1 column × 8 queries, plain SIMD",
  [SOFTMAX]: "softmax pass",
  benchGradTile: "dK, dV, 6 keys × 8 columns",
  benchQueryTile: "dQ, 5 columns × 8 queries",
  // for operations of 256 bits: see docs/engines.md
  benchScorePair: "scores, 6 keys × 16 queries",
  benchOutputPair: "output, 6 columns × 16 queries",
  benchBackwardPair: "scores of backward, 6 keys × 16 queries",
  benchGradPair: "dK, dV, 6 keys × 16 columns",
  benchQueryPair: "dQ, 4 columns × 16 queries",
};

const OPERAND_BYTES = 256 * 1024;
const HEAD_DIMS = [32, 64, 128];
const REPEATS = 1000;

export async function tilesSection(context: Context): Promise<Measured[]> {
  const options: RaceOptions = context.quick
    ? { samples: 3, budgetMs: 200, warmUpMs: 150 }
    : { samples: 11, budgetMs: 1500, warmUpMs: 200 };
  const { gflops: peak } = await context.limits();
  const module = await asmModule("tiles");
  const { kernel, memory } = instantiate<Record<string, TileBench>>(module, OPERAND_BYTES);
  const rows: string[][] = [];
  for (const [tile, title] of Object.entries(TILES)) {
    const bench = kernel[tile]!, unit = tile === SOFTMAX ? "ns per 4" : "GFLOP/s";
    const values: number[] = [];
    for (const headDim of HEAD_DIMS) {
      // Small: products accumulate over millions of runs and must not leave the range of floats.
      new Float32Array(memory.buffer, OPERANDS, OPERAND_BYTES / 4).fill(1e-3);
      let work = 0;
      const run = () => void (work = bench(OPERANDS, headDim, REPEATS));
      const medianMs = await timeAlone(tile, run, options), amount = work * REPEATS;
      const value = tile === SOFTMAX ? medianMs * 1e6 / amount : amount / medianMs / 1e6;
      context.results.add("tiles", { tile, headDim, value, unit, peak });
      values.push(value);
    }
    const share = tile === SOFTMAX ? "" : percent(Math.max(...values) / peak);
    rows.push([title, unit, ...values.map(digits3), share]);
  }
  const head = ["tile", "", ...HEAD_DIMS.map((d) => `D ${d}`), "best of peak"];
  printTable(`Register tiles (peak ${digits3(peak)} GFLOP/s)`, head, rows);
  return [];
}
