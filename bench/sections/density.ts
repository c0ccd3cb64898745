/**
 * Masks that hide most of the scores: what is hidden should cost nothing. Times are compared with
 * the whole, scaled by the share of the scores that is visible.
 * @module
 */

import { type Case, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { race } from "../measure/race.ts";
import { timingFields } from "../measure/statistics.ts";
import { milliseconds, percent, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { BLOCK, randomBlocks } from "../random_blocks.ts";
import { type AttentionOptions, Subject } from "../subjects/flashtile.ts";

const DENSITIES = [0.5, 0.25, 0.1, 0.05];

interface Pattern {
  readonly name: string;
  /** Exact share of the scores that is visible. */
  readonly density: number;
  readonly options: AttentionOptions;
}

export async function densitySection(context: Context): Promise<Measured[]> {
  const c = context.cases("density")[0]!, call = { c, data: operands(c), causal: false };
  const engine = await context.engine();
  const whole: Pattern = { name: "whole", density: 1, options: {} };
  const bands = DENSITIES.map((density) => band(c, density));
  const patterns = [whole, ...bands, ...[1, ...DENSITIES].flatMap((density) => blocks(c, density))];
  const measured: Measured[] = [];
  for (const pass of ["forward", "backward"] as const) {
    const subjects = patterns.map(({ options }) => new Subject(engine, call, options));
    for (const subject of subjects) await subject.forward();
    const works = subjects.map((subject, i) => subject.work(pass, patterns[i]!.name));
    const timings = await race(wallClock, works, context.race);
    for (const subject of subjects) subject.dispose();
    const rows: string[][] = [], values: Value[] = [];
    for (const [i, timing] of timings.entries()) {
      const { name: pattern, density } = patterns[i]!;
      const overProportional = timing.medianMs / (timings[0]!.medianMs * density);
      const time = milliseconds(timing.medianMs);
      rows.push([pattern, percent(density), time, times(overProportional)]);
      if (i === 0) continue;
      values.push({ of: pattern, value: overProportional });
      const row = { case: c.name, pass, pattern, density, overProportional };
      context.results.add("density", { ...row, ...timingFields(timing) });
    }
    const head = ["pattern", "visible", "time", "over proportional"];
    printTable(`Density, ${pass}, ${c.name}, one thread`, head, rows);
    measured.push({ id: `wasm density ${pass}`, values });
  }
  return measured;
}

/** The symmetric window whose share of the scores comes closest to the density. */
function band(c: Case, density: number): Pattern {
  const length = c.lengthK;
  const visible = (side: number) => (2 * side + 1) * length - side * (side + 1);
  let side = 0;
  while (visible(side) < density * length * length) side++;
  const options = { window: { left: side, right: side } };
  return { name: `band ±${side}`, density: visible(side) / (length * length), options };
}

/** Random blocks as bytes of a mask, and as a block mask. */
function blocks({ lengthK: length }: Case, density: number): Pattern[] {
  const { rows, each, count, mask: blockMask } = randomBlocks(length, density, 65521);
  const data = new Uint8Array(length * length), shape = [length, length];
  rows.forEach((columns, row) =>
    columns.forEach((column) => {
      for (let i = row * BLOCK; i < (row + 1) * BLOCK; i++) {
        data.fill(1, i * length + column * BLOCK, i * length + (column + 1) * BLOCK);
      }
    })
  );
  const about = `${each}/${count}`;
  return [
    { name: `blocks ${about}`, density: each / count, options: { mask: { data, shape } } },
    { name: `block mask ${about}`, density: each / count, options: { blockMask } },
  ];
}
