/** Functions of scores and masks that people write, each as an expression and as plain code with the same meaning. */

import { captured } from "../../src/expression/captured.ts";
import { type MaskMod, maskMod, type ScoreMod, scoreMod } from "../../src/expression/score_mod.ts";
import { normalNumbers } from "../random.ts";

const HEADS = 4, REACH = 64, LENGTH = 256;

/** A captured array of random floats, with a gradient. */
function parameters(seed: number, shape: readonly number[], of = (x: number) => x) {
  const count = shape.reduce((a, b) => a * b, 1);
  return captured(Float32Array.from(normalNumbers(seed, count, 0.5), of), shape, {
    gradient: true,
  });
}

const slopes = parameters(1, [HEADS], Math.abs);
const offsets = parameters(2, [HEADS, 2 * REACH + 1]);
const temperature = parameters(3, [HEADS], (x) => 1.5 + Math.abs(x));
const gate = parameters(4, [2, LENGTH]);
const keyWeight = parameters(5, [LENGTH]);
const gain = parameters(6, []);
const bucketWeight = parameters(7, [HEADS, 16]);
const bucketOf = (distance: number) =>
  distance < 8 ? distance : Math.min(15, 8 + Math.floor(2 * Math.log2(distance / 8)));
const buckets = captured(Int32Array.from({ length: LENGTH }, (_, n) => bucketOf(n)), [LENGTH]);

/** Symbols of one pair, as numbers. */
export interface Pair {
  readonly batch: number;
  readonly head: number;
  readonly query: number;
  readonly key: number;
  readonly lengthK: number;
  readonly diagonal: number;
}

/** A function of scores in both forms. */
interface ScoreFunction {
  readonly mod: ScoreMod;
  readonly plain: (score: number, pair: Pair) => number;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const clamp = (x: number, low: number, high: number) => Math.max(low, Math.min(high, x));

/** By name. Queries and keys are below 256, heads below 4, sequences below 2. */
export const SCORE_FUNCTIONS: Readonly<Record<string, ScoreFunction>> = {
  alibi: {
    mod: scoreMod(({ score, head, query, key }) =>
      score.sub(slopes.at(head).mul(query.sub(key).abs().toFloat()))
    ),
    plain: (s, { head, query, key }) => s - slopes.data[head]! * Math.abs(query - key),
  },
  alibiFromDiagonal: {
    mod: scoreMod(({ score, head, diagonal, key }) =>
      score.add(key.sub(diagonal).toFloat().mul(slopes.at(head)))
    ),
    plain: (s, { head, diagonal, key }) => s + slopes.data[head]! * (key - diagonal),
  },
  softcap: {
    mod: scoreMod(({ score }) => score.div(20).tanh().mul(20)),
    plain: (s) => 20 * Math.tanh(s / 20),
  },
  relativeTable: {
    mod: scoreMod(({ score, head, query, key }) =>
      score.add(offsets.at(head, query.sub(key).max(-REACH).min(REACH).add(REACH)))
    ),
    plain: (s, { head, query, key }) =>
      s + offsets.data[head * (2 * REACH + 1) + clamp(query - key, -REACH, REACH) + REACH]!,
  },
  temperature: {
    mod: scoreMod(({ score, head }) => score.mul(temperature.at(head))),
    plain: (s, { head }) => s * temperature.data[head]!,
  },
  decay: {
    mod: scoreMod(({ score, head, query, key }) =>
      score.add(query.sub(key).abs().toFloat().mul(slopes.at(head)).mul(-0.05).exp().mul(2))
    ),
    plain: (s, { head, query, key }) =>
      s + 2 * Math.exp(-0.05 * slopes.data[head]! * Math.abs(query - key)),
  },
  softWindow: {
    mod: scoreMod(({ score, query, key }) =>
      query.sub(key).abs().le(16).where(score, score.mul(0.5).sub(3))
    ),
    plain: (s, { query, key }) => Math.abs(query - key) <= 16 ? s : 0.5 * s - 3,
  },
  gated: {
    mod: scoreMod(({ score, batch, query, key }) =>
      score.mul(gate.at(batch, query).sigmoid()).add(keyWeight.at(key).tanh())
    ),
    plain: (s, { batch, query, key }) =>
      s * sigmoid(gate.data[batch * LENGTH + query]!) + Math.tanh(keyWeight.data[key]!),
  },
  buckets: {
    mod: scoreMod(({ score, head, query, key }) =>
      score.add(bucketWeight.at(head, buckets.at(query.sub(key).abs().min(LENGTH - 1))))
    ),
    plain: (s, { head, query, key }) =>
      s + bucketWeight.data[head * 16 + bucketOf(Math.abs(query - key))]!,
  },
  waves: {
    mod: scoreMod(({ score, query, key }) =>
      score.add(query.sub(key).toFloat().mul(0.37).sin().mul(gain.at())).add(key.toFloat().cos())
    ),
    plain: (s, { query, key }) =>
      s + gain.data[0]! * Math.sin(0.37 * (query - key)) + Math.cos(key),
  },
  safeRoot: {
    mod: scoreMod(({ score }) =>
      score.gt(0).where(score.sqrt(), 0).add(score.square().add(1).log())
    ),
    plain: (s) => (s > 0 ? Math.sqrt(s) : 0) + Math.log(1 + s * s),
  },
  sharedRoot: {
    mod: scoreMod(({ score }) => {
      const root = score.sqrt(), positive = score.gt(0);
      return positive.where(root, 0).add(positive.where(root.mul(2), 1));
    }),
    plain: (s) => s > 0 ? 3 * Math.sqrt(s) : 1,
  },
  clampedCube: {
    mod: scoreMod(({ score, head }) =>
      score.max(-1).min(temperature.at(head)).pow(3).div(score.abs().add(1)).neg()
    ),
    plain: (s, { head }) => -(clamp(s, -1, temperature.data[head]!) ** 3) / (1 + Math.abs(s)),
  },
  softplus: {
    mod: scoreMod(({ score, key, lengthK }) =>
      score.exp().add(1).log().mul(key.toFloat().div(lengthK.toFloat()))
    ),
    plain: (s, { key, lengthK }) => Math.log(1 + Math.exp(s)) * key / lengthK,
  },
};

const documentOf = (n: number) => Math.floor(n / 70);
const documents = captured(Int32Array.from({ length: 1024 }, (_, n) => documentOf(n)), [1024]);
const residue = (a: number, n: number) => ((a % n) + n) % n;

/** A mask in both forms. */
interface MaskFunction {
  readonly mod: MaskMod;
  readonly plain: (pair: Pair) => boolean;
}

/** By name. Queries and keys are below 1024. */
export const MASK_FUNCTIONS: Readonly<Record<string, MaskFunction>> = {
  prefixLm: {
    mod: maskMod(({ diagonal, key }) => key.lt(100).or(key.le(diagonal))),
    plain: ({ diagonal, key }) => key < 100 || key <= diagonal,
  },
  causalDocuments: {
    mod: maskMod(({ query, key }) => key.le(query).and(documents.at(query).eq(documents.at(key)))),
    plain: ({ query, key }) => key <= query && documentOf(query) === documentOf(key),
  },
  globalsAndWindow: {
    mod: maskMod(({ query, key }) => key.lt(9).or(query.lt(9)).or(query.sub(key).abs().lt(20))),
    plain: ({ query, key }) => key < 9 || query < 9 || Math.abs(query - key) < 20,
  },
  neighbourhood: {
    mod: maskMod(({ query, key }) => {
      const rows = query.floorDiv(32).sub(key.floorDiv(32)).abs();
      return rows.le(3).and(query.mod(32).sub(key.mod(32)).abs().le(3));
    }),
    plain: ({ query, key }) =>
      Math.abs((query >> 5) - (key >> 5)) <= 3 && Math.abs((query & 31) - (key & 31)) <= 3,
  },
  blockCausal: {
    mod: maskMod(({ query, key }) => key.floorDiv(50).le(query.floorDiv(50))),
    plain: ({ query, key }) => Math.floor(key / 50) <= Math.floor(query / 50),
  },
  mixture: {
    mod: maskMod(({ query, key }) =>
      key.le(query).and(query.sub(key).lt(60)).or(key.mod(64).lt(2)).xor(query.mul(2).eq(key))
    ),
    plain: ({ query, key }) =>
      (key <= query && query - key < 60 || residue(key, 64) < 2) !== (2 * query === key),
  },
  residues: {
    mod: maskMod(({ query, key }) => query.eq(key).not().and(key.mul(key).sub(query).mod(5).ne(2))),
    plain: ({ query, key }) => query !== key && residue(key * key - query, 5) !== 2,
  },
  byHead: {
    mod: maskMod(({ head, diagonal, key }) => {
      const distance = diagonal.sub(key);
      return head.eq(0).where(distance.ge(0), distance.abs().le(head.mul(8)));
    }),
    plain: ({ head, diagonal, key }) =>
      head === 0 ? key <= diagonal : Math.abs(diagonal - key) <= 8 * head,
  },
};
