/**
 * Functions of scores and masks of the grid: each as the library is given it and, apart from that, what it means. What
 * they capture is longer than any case needs, so that one function serves all cases.
 */

import { captured, maskMod, masks, scoreMod } from "../mod.ts";
import { normalNumbers, randomNumbers } from "./random.ts";
import type { MaskFunction, Place, ScoreFunction } from "./reference/functions.ts";

/** Heads that captured arrays have room for. */
export const HEADS = 16;
/** Rows of a sequence that they have room for. */
const ROWS = 4096;

/** ALiBi's slopes. */
export const slopes: Float32Array<ArrayBuffer> = Float32Array.from(
  { length: HEADS },
  (_, n) => 0.02 * (n + 1),
);
const temperatures = Float32Array.from({ length: HEADS }, (_, n) => 0.5 + 0.125 * n);
/** What a distance of −64 to 64 adds, for each head. */
const table = Float32Array.from(normalNumbers(71, HEADS * 129, 1));
/** T5: a bucket for each of 8 short distances, 8 for longer ones, on either side. */
const bucketTable = Float32Array.from(normalNumbers(72, HEADS * 32, 1));
/** Which document each token belongs to. */
export const documentIds: Int32Array<ArrayBuffer> = documents();

/** Documents of 1 to 60 tokens. */
function documents(): Int32Array<ArrayBuffer> {
  const ids = new Int32Array(ROWS), random = randomNumbers(73);
  for (let at = 0, id = 0; at < ROWS; id++) {
    const end = at + 1 + Math.floor(random() * 60);
    ids.fill(id, at, end);
    at = end;
  }
  return ids;
}

const within = (x: number, least: number, most: number) => Math.max(least, Math.min(most, x));

function bucketOf({ diagonal, key }: Place): number {
  const far = Math.abs(diagonal - key);
  const bucket = far < 8 ? far : 8 + Math.min(7, Math.floor(far / 16));
  return key > diagonal ? bucket + 16 : bucket;
}

const ofSlopes = captured(slopes, [HEADS]);
const ofTemperatures = captured(temperatures, [HEADS]);
const ofTable = captured(table, [HEADS, 129]);
const ofBuckets = captured(bucketTable, [HEADS, 2, 16]);

/** A table of distances of −6 to 6 for each head. */
const learnedTable = Float32Array.from(normalNumbers(74, HEADS * 13, 1));
const ofLearnedTable = captured(learnedTable, [HEADS, 13], { gradient: true });
const learnedValues = Float64Array.from(learnedTable);
const learnedPlace = ({ head, query, key }: Place) => head * 13 + 6 + within(key - query, -6, 6);

/** A softcap for each head, and behind them a slope for each kv head and a number that is read nowhere. */
const caps = Float32Array.from({ length: HEADS }, (_, n) => 2 + 0.5 * n);
const gains = Float32Array.from({ length: HEADS + 1 }, (_, n) => 0.02 * (n + 1));
const ofCaps = captured(caps, [HEADS], { gradient: true });
const ofGains = captured(gains, [HEADS + 1], { gradient: true });
const bentValues = Float64Array.of(...caps, ...gains);

/** Whether a function adds to the score, so that its slope is 1. */
const added = () => 1;

/** Name of a function of scores. */
export type ScoreName =
  | ("alibi" | "relative" | "softcap" | "temperature" | "sine" | "buckets")
  | ("learned" | "bent");

/** The functions of scores. */
export const scoreMods: Readonly<Record<ScoreName, ScoreFunction>> = {
  /** ALiBi, as `alibiSlopes` has it. */
  alibi: Object.assign(
    scoreMod(({ score, head, diagonal, key }) =>
      score.sub(ofSlopes.at(head).mul(diagonal.sub(key).abs().toFloat()))
    ),
    {
      value: (s: number, { head, diagonal, key }: Place, round: (x: number) => number) =>
        s - round(slopes[head]! * Math.abs(diagonal - key)),
      slope: added,
    },
  ),
  /** A table of relative positions, clamped at both ends. */
  relative: Object.assign(
    scoreMod(({ score, head, query, key }) =>
      score.add(ofTable.at(head, key.sub(query).max(-64).min(64).add(64)))
    ),
    {
      value: (s: number, { head, query, key }: Place) =>
        s + table[head * 129 + 64 + within(key - query, -64, 64)]!,
      slope: added,
    },
  ),
  /** Softcap at 5. */
  softcap: Object.assign(scoreMod(({ score }) => score.div(5).tanh().mul(5)), {
    value: (s: number, _: Place, round: (x: number) => number) =>
      5 * round(Math.tanh(round(s / 5))),
    slope: (s: number) => 1 - Math.tanh(s / 5) ** 2,
  }),
  /** A learned temperature of each head. */
  temperature: Object.assign(
    scoreMod(({ score, head }) => score.mul(ofTemperatures.at(head))),
    {
      value: (s: number, { head }: Place) => s * temperatures[head]!,
      slope: (_: number, { head }: Place) => temperatures[head]!,
    },
  ),
  /** A wave of the distance that scales the score, in all but the first keys. */
  sine: Object.assign(
    scoreMod(({ score, diagonal, key }) => {
      const wave = diagonal.sub(key).toFloat().mul(0.125).sin();
      return key.lt(3).where(score.neg(), score.mul(wave).sub(wave.square()));
    }),
    {
      value: (s: number, { diagonal, key }: Place, round: (x: number) => number) => {
        const wave = round(Math.sin((diagonal - key) / 8));
        return key < 3 ? -s : round(s * wave) - round(wave * wave);
      },
      slope: (_: number, { diagonal, key }: Place) => key < 3 ? -1 : Math.sin((diagonal - key) / 8),
    },
  ),
  /** T5's buckets of distances, a value for each head and bucket. */
  buckets: Object.assign(
    scoreMod(({ score, head, diagonal, key }) => {
      const far = diagonal.sub(key).abs();
      const bucket = far.lt(8).where(far.min(7), far.floorDiv(16).min(7).add(8));
      return score.add(
        key.gt(diagonal).where(ofBuckets.at(head, 1, bucket), ofBuckets.at(head, 0, bucket)),
      );
    }),
    {
      value: (s: number, place: Place) => s + bucketTable[place.head * 32 + bucketOf(place)]!,
      slope: added,
    },
  ),
  /** A table of relative positions with a gradient. */
  learned: Object.assign(
    scoreMod(({ score, head, query, key }) =>
      score.add(ofLearnedTable.at(head, key.sub(query).max(-6).min(6).add(6)))
    ),
    {
      value: (s: number, place: Place) => s + learnedValues[learnedPlace(place)]!,
      slope: added,
      learned: {
        values: learnedValues,
        terms: (_: number, place: Place) => [[learnedPlace(place), 1]] as const,
      },
    },
  ),
  /** A softcap of each head and a slope of the distance of each kv head, both with gradients, one of the score. */
  bent: Object.assign(
    scoreMod(({ score, head, kvHead, diagonal, key }) => {
      const cap = ofCaps.at(head), far = diagonal.sub(key).abs().toFloat();
      return score.div(cap).tanh().mul(cap).sub(ofGains.at(kvHead).mul(far));
    }),
    {
      value(s: number, { head, kvHead, diagonal, key }: Place, round: (x: number) => number) {
        const cap = bentValues[head]!, tanh = round(Math.tanh(round(s / cap)));
        const slope = bentValues[HEADS + kvHead]!;
        return round(cap * tanh) - round(slope * Math.abs(diagonal - key));
      },
      slope: (s: number, { head }: Place) => 1 - Math.tanh(s / bentValues[head]!) ** 2,
      learned: {
        values: bentValues,
        terms(s: number, { head, kvHead, diagonal, key }: Place) {
          const x = s / bentValues[head]!, tanh = Math.tanh(x);
          return [
            [head, tanh - x * (1 - tanh * tanh)],
            [HEADS + kvHead, -Math.abs(diagonal - key)],
          ] as const;
        },
      },
    },
  ),
};

/** Name of a mask. */
export type MaskName = "prefix" | "documents" | "dilated" | "global" | "strided" | "heads";

/** The masks. */
export const maskMods: Readonly<Record<MaskName, MaskFunction>> = {
  /** A prefix LM. */
  prefix: Object.assign(masks.prefix(20).or(masks.causal()), {
    visible: ({ diagonal, key }: Place) => key < 20 || key <= diagonal,
  }),
  /** Documents that attend to themselves. */
  documents: Object.assign(masks.documents(documentIds), {
    visible: ({ query, key }: Place) => documentIds[query] === documentIds[key],
  }),
  /** Every third of the 15 keys on either side. */
  dilated: Object.assign(masks.dilated(5, 3), {
    visible: ({ diagonal, key }: Place) =>
      Math.abs(diagonal - key) <= 15 && (diagonal - key) % 3 === 0,
  }),
  /** Some global tokens beside a window. */
  global: Object.assign(masks.globalTokens(3).or(masks.window(9, 4)), {
    visible: ({ query, diagonal, key }: Place) =>
      query < 3 || key < 3 || (diagonal - 9 <= key && key <= diagonal + 4),
  }),
  /** Every fourth key from the own position down. */
  strided: Object.assign(masks.strided(4).and(masks.causal()), {
    visible: ({ diagonal, key }: Place) => (diagonal - key) % 4 === 0 && key <= diagonal,
  }),
  /** Odd heads see the keys behind the middle, even ones those before it. */
  heads: Object.assign(
    maskMod(({ head, key, lengthK }) => head.mod(2).eq(1).xor(key.mul(2).lt(lengthK))),
    { visible: ({ head, key, lengthK }: Place) => (head % 2 === 1) !== (key * 2 < lengthK) },
  ),
};
