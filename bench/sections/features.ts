/**
 * What options cost that act on scores, and functions beside the options that they spell out: times over that of a call
 * without any, scaled by the share of the scores that is visible. The cost column of docs/features.md is made of it.
 * @module
 */

import { captured, masks, scoreMod } from "../../mod.ts";
import { type Case, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { race } from "../measure/race.ts";
import { timingFields } from "../measure/statistics.ts";
import { milliseconds, percent, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { type AttentionOptions, Subject } from "../subjects/flashtile.ts";

interface Pattern {
  /** The one option that is set. */
  readonly options: AttentionOptions;
  /** What it is set to, where that is not the only way. */
  readonly detail?: string;
  /** Share of the scores that is visible. */
  readonly visible: number;
}

export async function featuresSection(context: Context): Promise<Measured[]> {
  const c = context.cases("features")[0]!, call = { c, data: operands(c), causal: false };
  const engine = await context.engine();
  const patterns: Pattern[] = [{ options: {}, visible: 1 }, ...scores(c), ...hidden(c)];
  for (const pass of ["forward", "backward"] as const) {
    const subjects = patterns.map(({ options }) => new Subject(engine, call, options));
    for (const subject of subjects) await subject.forward();
    const works = subjects.map((subject) => subject.work(pass));
    const timings = await race(wallClock, works, context.race);
    for (const subject of subjects) subject.dispose();
    const rows = timings.map((timing, n) => {
      const { options, detail = "", visible } = patterns[n]!,
        [option = "none"] = Object.keys(options);
      const overProportional = timing.medianMs / (timings[0]!.medianMs * visible);
      const row = { case: c.name, pass, option, detail, visible, overProportional };
      context.results.add("features", { ...row, ...timingFields(timing) });
      const time = milliseconds(timing.medianMs), over = times(overProportional);
      return [`${option} ${detail}`, percent(visible), time, over, percent(timing.spread)];
    });
    const head = ["option", "visible", "time", "over proportional", "spread"];
    printTable(`Features, ${pass}, ${c.name}, one thread`, head, rows);
  }
  return [];
}

/** Values that are nothing in particular. */
function wave(size: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: size }, (_, n) => Math.sin(1 + 3.7 * n));
}

/** Options that change scores, and the same as functions. */
function scores({ queryHeads, lengthQ, lengthK }: Case): Pattern[] {
  const slopes = Float32Array.from({ length: queryHeads }, (_, n) => 2 ** -(n + 1));
  const ofHeads = { data: slopes, shape: [queryHeads] }, slopeOf = captured(slopes, [queryHeads]);
  const biases = wave(queryHeads * lengthQ * lengthK), table = wave(queryHeads * 129);
  const entry = captured(table, [queryHeads, 129]);
  const learnedSlope = captured(slopes, [queryHeads], { gradient: true });
  const learnedEntry = captured(table, [queryHeads, 129], { gradient: true });
  const ofBucket = captured(wave(queryHeads * 32), [queryHeads, 32]);
  const bucket = captured(Int32Array.from({ length: 257 }, (_, n) => n >> 3 & 31), [257]);
  const functions = {
    "ALiBi": scoreMod(({ score, head, diagonal, key }) =>
      score.sub(slopeOf.at(head).mul(diagonal.sub(key).abs().toFloat()))
    ),
    "ALiBi that learns": scoreMod(({ score, head, diagonal, key }) =>
      score.sub(learnedSlope.at(head).mul(diagonal.sub(key).abs().toFloat()))
    ),
    "table of distances that learns": scoreMod(({ score, head, diagonal, key }) =>
      score.add(learnedEntry.at(head, key.sub(diagonal).max(-64).min(64).add(64)))
    ),
    "softcap": scoreMod(({ score }) => score.div(30).tanh().mul(30)),
    "temperature of each head": scoreMod(({ score, head }) => score.mul(slopeOf.at(head))),
    "table of distances, clamped": scoreMod(({ score, head, diagonal, key }) =>
      score.add(entry.at(head, key.sub(diagonal).max(-64).min(64).add(64)))
    ),
    "table of buckets of distances": scoreMod(({ score, head, diagonal, key }) => {
      const distance = key.sub(diagonal).max(-128).min(128);
      return score.add(ofBucket.at(head, bucket.at(distance.add(128))));
    }),
    "sine of the distance": scoreMod(({ score, diagonal, key }) =>
      score.add(diagonal.sub(key).toFloat().mul(0.125).sin())
    ),
  };
  const options: readonly AttentionOptions[] = [
    { rotary: {} },
    { alibiSlopes: ofHeads },
    { softcap: 30 },
    { bias: { data: biases, shape: [queryHeads, lengthQ, lengthK] } },
    { sink: ofHeads },
    { dropout: { probability: 0.1, seed: 1 } },
    { stats: ["entropy", "maxProbability", "expectedKey"] },
  ];
  return [
    ...options.map((options) => ({ options, visible: 1 })),
    ...Object.entries(functions).map(([detail, scoreMod]) => ({
      ...{ options: { scoreMod }, detail },
      visible: 1,
    })),
  ];
}

/** Options that hide scores, and the same as masks of functions. */
function hidden({ lengthQ: n }: Case): Pattern[] {
  const ids = Int32Array.from({ length: n }, (_, i) => Math.floor(i * 8 / n));
  const bytes = Uint8Array.from(
    { length: n * n },
    (_, at) => Number(ids[Math.floor(at / n)] === ids[at % n]),
  );
  const share = (count: (i: number) => number) =>
    Array.from({ length: n }, (_, i) => count(i)).reduce((a, b) => a + b) / n ** 2;
  const causal = share((i) => i + 1), window = share((i) => Math.min(256, i + 1));
  const prefix = share((i) => Math.max(n / 8, i + 1));
  const strided = share((i) => Math.floor(i / 8) + Math.ceil((n - i) / 8));
  return [
    { options: { mask: { data: bytes, shape: [n, n] } }, detail: "8 documents", visible: 1 / 8 },
    { options: { keyLengths: n / 2 }, visible: 1 / 2 },
    { options: { causal: true }, visible: causal },
    { options: { window: { left: 255, right: 0 } }, detail: "of 256", visible: window },
    { options: { maskMod: masks.documents(ids) }, detail: "8 documents", visible: 1 / 8 },
    { options: { maskMod: masks.causal() }, detail: "causal", visible: causal },
    { options: { maskMod: masks.window(255, 0) }, detail: "window of 256", visible: window },
    {
      options: { maskMod: masks.prefix(n / 8).or(masks.causal()) },
      ...{ detail: "prefix or causal", visible: prefix },
    },
    { options: { maskMod: masks.strided(8) }, detail: "strided by 8", visible: strided },
  ];
}
