/**
 * Masks that hide most of the scores: what is hidden should cost nothing. Times are compared with
 * the whole, scaled by the share of the scores that is visible.
 * @module
 */

import { type Call, type Case, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { race, type Work } from "../measure/race.ts";
import { timingFields } from "../measure/statistics.ts";
import { milliseconds, percent, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { type AttentionOptions, Subject } from "../subjects/flashtile.ts";

const DENSITIES = [0.5, 0.25, 0.1, 0.05];
/** Edge of the blocks of the sparse masks: a usual size of block-sparse attention. */
const BLOCK = 128;

interface Pattern {
  readonly name: string;
  /** Exact share of the scores that is visible. */
  readonly density: number;
  readonly options: AttentionOptions;
}

export async function densitySection(context: Context): Promise<Measured[]> {
  const [c] = context.cases("density"), call = { c, data: operands(c), causal: false };
  const patterns = [
    ...DENSITIES.map((d) => band(c, d)),
    ...[1, ...DENSITIES].map((d) => blocks(c, d)),
  ];
  const goals: Measured[] = [];
  for (const pass of ["forward", "backward"] as const) {
    const values = await measure(context, call, patterns, pass);
    goals.push({ id: `wasm density ${pass}`, values });
  }
  return goals;
}

async function measure(
  context: Context,
  call: Call,
  patterns: readonly Pattern[],
  pass: "forward" | "backward",
): Promise<Value[]> {
  const engine = await context.engine();
  const subjects: Subject[] = [];
  const works: Work[] = [];
  for (const pattern of [{ name: "whole", options: {} }, ...patterns]) {
    const subject = new Subject(engine, call, pattern.options);
    await subject.forward();
    subjects.push(subject);
    const run = pass === "forward" ? () => subject.forward() : () => subject.backward();
    works.push({ name: pattern.name, run });
  }
  const [whole, ...timings] = await race(wallClock, works, context.race);
  for (const subject of subjects) subject.dispose();
  const rows = [["whole", percent(1), milliseconds(whole.medianMs), ""]];
  const values = timings.map((timing, i) => {
    const { density } = patterns[i];
    const value = timing.medianMs / (whole.medianMs * density);
    rows.push([timing.name, percent(density), milliseconds(timing.medianMs), times(value)]);
    const row = { case: call.c.name, pass, pattern: timing.name, density, overProportional: value };
    context.results.add("density", { ...row, ...timingFields(timing) });
    return { of: timing.name, value };
  });
  const head = ["pattern", "visible", "time", "over proportional"];
  printTable(`Density, ${pass}, ${call.c.name}, one thread`, head, rows);
  return values;
}

/** The symmetric window whose share of the scores comes closest to the density. */
function band(c: Case, density: number): Pattern {
  const length = c.lengthK;
  const visible = (side: number) => (2 * side + 1) * length - side * (side + 1);
  let side = 0;
  while (visible(side) < density * length * length) side++;
  const exact = visible(side) / (length * length);
  return {
    name: `band ±${side}`,
    density: exact,
    options: { window: { left: side, right: side } },
  };
}

/** The same number of random blocks in every row of blocks; the diagonal is always visible. */
function blocks(c: Case, density: number): Pattern {
  const length = c.lengthK;
  const count = length / BLOCK;
  const each = Math.max(1, Math.round(density * count));
  const data = new Uint8Array(length * length);
  let state = 12345;
  for (let row = 0; row < count; row++) {
    const chosen = new Set([row]);
    while (chosen.size < each) {
      state = Math.imul(state, 1664525) + 1013904223 >>> 0;
      chosen.add(state % 65521 % count);
    }
    for (const column of chosen) {
      for (let i = row * BLOCK; i < (row + 1) * BLOCK; i++) {
        data.fill(1, i * length + column * BLOCK, i * length + (column + 1) * BLOCK);
      }
    }
  }
  return {
    name: `blocks ${each}/${count}`,
    density: each / count,
    options: { mask: { data, shape: [length, length] } },
  };
}
