/**
 * The register tiles of the product, each alone. Innocent edits move the speed of a tile by up to two
 * times, and so do V8 releases; in a whole kernel that is hard to see. They are compiled here from
 * the product's sources with the product's flags.
 * @module
 */

import { compileAsm } from "../compile_asm.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import type { RaceOptions } from "../measure/race.ts";
import { digits3, percent, printTable } from "../measure/table.ts";
import { timeAlone } from "../measure/wall_clock.ts";

/** `(operands, headDim, repeats)` to the work of one repeat; see bench/asm/tiles.ts. */
type TileBench = (operands: number, headDim: number, repeats: number) => number;

interface Tile {
  readonly name: string;
  readonly title: string;
  /** Softmax has no products: it is measured in time for four values. */
  readonly unit: "GFLOP/s" | "ns per 4";
}

const TILES: readonly Tile[] = [
  { name: "benchScoreTile", title: "scores, 6 keys × 8 queries", unit: "GFLOP/s" },
  { name: "benchOutputTile", title: "output, 6 columns × 8 queries", unit: "GFLOP/s" },
  { name: "benchSoftmax", title: "softmax pass", unit: "ns per 4" },
  { name: "benchGradTile", title: "dK, dV, 6 keys × 8 columns", unit: "GFLOP/s" },
  { name: "benchQueryTile", title: "dQ, 5 columns × 8 queries", unit: "GFLOP/s" },
];

const OPERANDS = 65536;
const OPERAND_BYTES = 256 * 1024;
const HEAD_DIMS = [32, 64, 128];

async function speedOf(
  bench: TileBench,
  memory: WebAssembly.Memory,
  tile: Tile,
  headDim: number,
  options: RaceOptions,
): Promise<number> {
  // Small: products accumulate over millions of runs and must not leave the range of floats.
  new Float32Array(memory.buffer, OPERANDS, OPERAND_BYTES / 4).fill(1e-3);
  const repeats = 1000;
  let work = 0;
  const run = () => {
    work = bench(OPERANDS, headDim, repeats);
  };
  const { medianMs } = await timeAlone(tile.name, run, options);
  return tile.unit === "GFLOP/s"
    ? work * repeats / medianMs / 1e6
    : medianMs * 1e6 / (work * repeats);
}

export async function tilesSection(context: Context): Promise<Measured[]> {
  const options: RaceOptions = context.quick
    ? { samples: 3, budgetMs: 200, warmUpMs: 150 }
    : { samples: 11, budgetMs: 1500, warmUpMs: 200 };
  const { gflops } = await context.limits();
  const memory = new WebAssembly.Memory({ initial: 8 });
  const module = await compileAsm("bench/asm/tiles");
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const rows: string[][] = [];
  for (const tile of TILES) {
    const bench = exports[tile.name] as TileBench;
    const values: number[] = [];
    for (const headDim of HEAD_DIMS) {
      const value = await speedOf(bench, memory, tile, headDim, options);
      const row = { tile: tile.name, headDim, value, unit: tile.unit, peak: gflops };
      context.results.add("tiles", row);
      values.push(value);
    }
    const share = tile.unit === "GFLOP/s" ? percent(Math.max(...values) / gflops) : "";
    rows.push([tile.title, tile.unit, ...values.map(digits3), share]);
  }
  const head = ["tile", "", ...HEAD_DIMS.map((d) => `D ${d}`), "best of peak"];
  printTable(`Register tiles (peak ${digits3(gflops)} GFLOP/s)`, head, rows);
  return [];
}
