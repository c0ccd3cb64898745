/**
 * Beside an approximation: Linformer, whose keys and values are projected to 256 rows, and exact
 * attention to the blocks near the diagonal, which takes as many operations: how far each is from exact
 * attention without a mask, and from which length on it is faster. One thread, host tensors.
 * @module
 */

import { operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { race } from "../measure/race.ts";
import { timingFields } from "../measure/statistics.ts";
import { milliseconds, percent, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { BLOCK, nearBlocks } from "../random_blocks.ts";
import { Subject } from "../subjects/flashtile.ts";
import { linformerWork, ROWS } from "../subjects/linformer.ts";
import {
  learned,
  linformerError,
  nearBlocksError,
  pooling,
  randomProjections,
  sample,
  type Trained,
  trainedModel,
} from "../subjects/projected_error.ts";

/** Blocks of a row: projecting costs Linformer as much again as its attention. */
const EACH = 2 * ROWS / BLOCK;

/** How far off: needs no quiet machine, so it is a section of its own. */
export async function linformerErrorSection(context: Context): Promise<Measured[]> {
  const { quick } = context, engine = await context.engine();
  const trained = await trainedModel(engine, quick ? 1024 : 2048, quick ? 3 : 300);
  const rows: string[][] = [];
  for (const length of quick ? [1024] : [512, 1024, 2048]) {
    for (const found of await errorsAt(context, trained, length, quick ? 2 : 192)) {
      const { approximation, layer, error, errorSeen } = found;
      context.results.add("linformer-error", { length, ...found, loss: trained.loss });
      rows.push([`${length}`, `${layer + 1}`, approximation, percent(error), percent(errorSeen)]);
    }
  }
  const title = "Distance from exact attention without a mask, q, k, v of a byte model " +
    `(loss ${trained.loss.toFixed(2)} nats per byte)`;
  const head = ["length", "layer", "approximation", "error, held-out text", "text seen"];
  printTable(title, head, rows);
  return [];
}

/** How fast: whole calls beside each other, from the same inputs. */
export async function linformerSection(context: Context): Promise<Measured[]> {
  const engine = await context.engine(), rows: string[][] = [];
  for (const c of context.cases("linformer")) {
    const data = operands(c), call = { c, data, causal: false }, { lengthK: length } = c;
    const exact = new Subject(engine, call, {}, "host");
    const blocks = new Subject(engine, call, { blockMask: nearBlocks(length, EACH) }, "host");
    const timings = await race(wallClock, [
      { name: "exact", run: () => exact.forwardSync() },
      await linformerWork(engine, data, c.headDim),
      { name: "near blocks", run: () => blocks.forwardSync() },
    ], context.race);
    const gains = timings.map(({ medianMs }) => timings[0]!.medianMs / medianMs);
    for (const [n, timing] of timings.entries()) {
      const row = { case: c.name, length, contender: timing.name, gain: gains[n]! };
      context.results.add("linformer", { ...row, ...timingFields(timing) });
    }
    const each = timings.map(({ medianMs }) => milliseconds(medianMs));
    rows.push([`${length}`, ...each, ...gains.slice(1).map(times)]);
  }
  const head = ["length", "exact", "Linformer", `${EACH} blocks a row`, "faster by", "faster by"];
  printTable(`Linformer, ${ROWS} rows, one head, D 64, one thread, copies included`, head, rows);
  return [];
}

interface Found {
  readonly approximation: string;
  readonly layer: number;
  /** On text that the model and the learned projections have not seen. */
  readonly error: number;
  /** On the text that the projections were fitted to. */
  readonly errorSeen: number;
}

async function errorsAt(
  context: Context,
  trained: Trained,
  length: number,
  steps: number,
): Promise<Found[]> {
  const engine = await context.engine(), { training, heldOut } = trained.text;
  const pieces = context.quick ? 2 : 64;
  const seen = await sample(trained, engine, training, length, pieces);
  const unseen = await sample(trained, engine, heldOut, length, 4);
  const found: Found[] = [];
  for (let layer = 0; layer < trained.model.shape.layers; layer++) {
    const of = (samples: typeof seen) => samples.filter((one) => one.layer === layer);
    const random = randomProjections(length, layer);
    const fitted = await learned(engine, of(seen), pooling(length), steps);
    const projections = {
      "Linformer, random": random,
      "Linformer, pooling": pooling(length),
      "Linformer, learned": fitted,
    };
    const add = async (approximation: string, on: (samples: typeof seen) => Promise<number>) => {
      const [error, errorSeen] = [await on(of(unseen)), await on(of(seen).slice(0, 8))];
      found.push({ approximation, layer, error, errorSeen });
    };
    for (const [approximation, projection] of Object.entries(projections)) {
      await add(approximation, (samples) => linformerError(engine, samples, projection));
    }
    const near = (samples: typeof seen) => nearBlocksError(engine, samples, length, EACH);
    await add(`near blocks, ${EACH} a row`, near);
  }
  return found;
}
