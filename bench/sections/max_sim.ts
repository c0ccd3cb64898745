/**
 * Late interaction: 1000 packed documents of 100 rows and short ones, 32 queries, dim 128, beside the register tile of the
 * product alone: over operands that stay in the first-level cache, which is what the goal is a share of, and over as many
 * rows in memory. The first has no maxima and reads nothing, the second has no maxima.
 * @module
 */

import type { AnyTensor, Engine, HostTensor } from "../../mod.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { race, type Work } from "../measure/race.ts";
import { rate, timingFields } from "../measure/statistics.ts";
import { digits3, milliseconds, percent, printTable } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { asmModule, instantiate, OPERANDS } from "../subjects/asm.ts";

const QUERIES = 32, DIM = 128;
const SHAPES = [{ documents: 1000, rows: 100 }, { documents: 5000, rows: 20 }];
/** A run of the tile takes as long as a call: both meet the same stretches of a busy machine. */
const OPERAND_BYTES = 256 * 1024, REPEATS = 8000;

/** A contender, and the operations of one call. */
interface Contender extends Work {
  readonly flops: number;
}

export async function maxSimSection(context: Context): Promise<Measured[]> {
  const tile = await tileAlone(),
    overRows = await tileOverRows(),
    shares: { of: string; value: number }[] = [];
  for (const { documents, rows } of SHAPES) {
    const name = `${documents} documents of ${rows} rows`, data = inputs(documents, rows);
    const table: string[][] = [];
    let peak = NaN;
    // each number of threads by itself: busy workers slow down what has one thread
    for (const threads of context.threads) {
      const engine = await context.engine(threads);
      const on = `${threads} thread${threads > 1 ? "s" : ""}`;
      const queries = engine.tensor(data.queries), all = engine.tensor(data.documents);
      const contenders: Contender[] = [
        forward(engine, `resident, ${on}`, data, queries, all),
        forward(engine, `host, ${on}`, data, data.queries, data.documents),
      ];
      if (threads === 1) {
        contenders.push(tile, overRows, await backward(engine, "gradients, host", data));
      }
      const timings = await race(wallClock, contenders, context.race);
      queries.dispose();
      all.dispose();
      const speeds = timings.map((timing, n) => rate(contenders[n]!.flops, timing));
      if (threads === 1) peak = speeds[2]!;
      timings.forEach((timing, n) => {
        const of = contenders[n]!.name, gflops = speeds[n]!, share = gflops / peak;
        const row = { documents, rows, queries: QUERIES, dim: DIM, of, gflops, share };
        context.results.add("max_sim", { ...row, ...timingFields(timing) });
        if (threads === 1 && n === 0) shares.push({ of: name, value: share });
        const time = contenders[n] === tile || contenders[n] === overRows
          ? ""
          : milliseconds(timing.medianMs);
        table.push([of, time, digits3(gflops), percent(share)]);
      });
    }
    const head = ["", "time", "GFLOP/s", "of the tile"];
    printTable(`maxSim, ${name}, ${QUERIES} queries, dim ${DIM}`, head, table);
  }
  return [{ id: "wasm max sim", values: shares.slice(0, 1) }];
}

/** The score tile over operands that stay in the cache. */
async function tileAlone(): Promise<Contender> {
  const { kernel, memory } = instantiate<
    { benchScoreTile(operands: number, headDim: number, repeats: number): number }
  >(await asmModule("tiles"), OPERAND_BYTES);
  // small: products accumulate over millions of runs and must not leave the range of floats
  new Float32Array(memory.buffer, OPERANDS, OPERAND_BYTES / 4).fill(1e-3);
  const run = () => void kernel.benchScoreTile(OPERANDS, DIM, REPEATS);
  return {
    name: "score tile alone",
    run,
    flops: REPEATS * kernel.benchScoreTile(OPERANDS, DIM, 1),
  };
}

/** The score tile over as many rows as documents have, which come from memory. */
async function tileOverRows(): Promise<Contender> {
  const blocks = Math.floor(SHAPES[0]!.documents * SHAPES[0]!.rows / 48), rows = blocks * 48;
  const bytes = OPERAND_BYTES + 4 * rows * DIM;
  const { kernel, memory } = instantiate<
    { benchScoreRows(operands: number, headDim: number, blocks: number): number }
  >(await asmModule("tiles"), bytes);
  new Float32Array(memory.buffer, OPERANDS, bytes / 4).fill(1e-3);
  const run = () => void kernel.benchScoreRows(OPERANDS, DIM, blocks);
  return {
    name: "score tile over rows in memory",
    run,
    flops: blocks * kernel.benchScoreRows(OPERANDS, DIM, 1),
  };
}

interface Data {
  readonly queries: HostTensor;
  readonly documents: HostTensor;
  readonly cuSeqlens: Int32Array;
  readonly flops: number;
}

function inputs(count: number, rows: number): Data {
  const tensor = (...shape: [number, number]) => ({
    data: Float32Array.from(
      { length: shape[0] * shape[1] },
      (_, n) => Math.sin(n * 1.7 + shape[0]),
    ),
    shape,
  });
  return {
    queries: tensor(QUERIES, DIM),
    documents: tensor(count * rows, DIM),
    cuSeqlens: Int32Array.from({ length: count + 1 }, (_, n) => n * rows),
    flops: 2 * count * rows * QUERIES * DIM,
  };
}

function forward(
  engine: Engine,
  name: string,
  { cuSeqlens, flops }: Data,
  queries: AnyTensor,
  documents: AnyTensor,
): Contender {
  const run = async () => {
    const results = await engine.maxSim(queries, documents, { cuSeqlens });
    for (const tensor of [results.scores, results.keys]) if ("dispose" in tensor) tensor.dispose();
  };
  return { name, run, flops };
}

/** Its operations are those of the rows that were chosen. */
async function backward(engine: Engine, name: string, data: Data): Promise<Contender> {
  const { queries, documents, cuSeqlens } = data, count = cuSeqlens.length - 1;
  const { keys } = await engine.maxSim(queries, documents, { cuSeqlens });
  const dScores = { data: new Float32Array(count).fill(1), shape: [count] };
  const run = async () => void await engine.maxSimBackward(dScores, { queries, documents, keys });
  return { name, run, flops: 4 * count * QUERIES * DIM };
}
