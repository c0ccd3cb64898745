/** Calls of flashAttention, each with the formula that says what it means. */

import * as tf from "@tensorflow/tfjs";
import { captured, createBlockMask, maskMod, masks, scoreMod } from "@flashtile/attention";
import type {
  CapturedFloats,
  CapturedIntegers,
  FlashAttentionOptions,
} from "@flashtile/attention/tfjs";
import { keptPairs } from "../reference/dropout.ts";
import type { Formula } from "./materialized.ts";

/** Tensors of a case beside q, k and v, by name. */
export type Learned = Readonly<Record<string, tf.Tensor>>;

export interface Case {
  readonly name: string;
  readonly q: readonly number[];
  readonly k: readonly number[];
  readonly v: readonly number[];
  /** Shapes of tensors that have gradients too. */
  readonly learned?: Readonly<Record<string, readonly number[]>>;
  /** Left out on WebGPU, where each set of options compiles kernels of its own: the last case has them together. */
  readonly alone?: true;
  readonly options: (learned: Learned) => FlashAttentionOptions<tf.Tensor>;
  readonly formula: (learned: Learned) => Formula;
}

const shape = (length: number, heads = 2, dim = 15) => [2, length, heads, dim];
const SELF = { q: shape(7), k: shape(7), v: shape(7) };
const CROSS = { q: shape(5, 4, 8), k: shape(9, 2, 8), v: shape(9, 2, 6) };
const bottomRight = (_b: number, _h: number, i: number, j: number) => j <= i + 4; // of CROSS

/** `abs(i + o - j)` of all pairs, [1, 1, queries, keys]. */
function distances(queries: number, keys: number): tf.Tensor {
  const at = Float32Array.from(
    { length: queries * keys },
    (_, n) => Math.abs(Math.floor(n / keys) + keys - queries - n % keys),
  );
  return tf.tensor(at, [1, 1, queries, keys]);
}

const bits = Uint8Array.from({ length: 35 * 7 }, (_, n) => Number(n % 3 !== 1));
const gains = captured(new Float32Array(4), [4], { gradient: true });
const table = captured(new Float32Array(4 * 5), [4, 5], { gradient: true });
const factors = captured(new Int32Array(2), [2]);
const unread = captured(new Float32Array(3), [3], { gradient: true });
const learnedMod = scoreMod(({ score, head, query, key }) =>
  score.mul(gains.at(head)).add(table.at(head, key.sub(query).max(-2).min(2).add(2)))
);

const captures = (of: Learned) => ({
  scoreMod: learnedMod,
  captured: new Map([[gains, of["gains"]!], [table, of["table"]!]]),
});

/** The same of scores [2, 4, 5, 9]. */
function modScores(s: tf.Tensor, of: Learned): tf.Tensor {
  const index = Int32Array.from(
    { length: 45 },
    (_, n) => Math.min(2, Math.max(-2, n % 9 - Math.floor(n / 9))) + 2,
  );
  const rows = tf.gather(of["table"]!, tf.tensor(index, [45], "int32"), 1);
  const scaled = tf.mul(s, tf.reshape(of["gains"]!, [1, 4, 1, 1]));
  return tf.add(scaled, tf.reshape(rows, [1, 4, 5, 9]));
}

/** Angles of rows from position `first` on, [length, half]. */
function anglesOf(first: number, length: number, half: number): number[] {
  return Array.from(
    { length: length * half },
    (_, n) => (first + Math.floor(n / half)) * 10000 ** (-(n % half) / half),
  );
}

/** The rotation of halves by positions from `first` on, of x [batch, heads, length, dim]. */
function rotate(x: tf.Tensor, first: number): tf.Tensor {
  const length = x.shape[2]!, half = x.shape[3]! / 2, angles = anglesOf(first, length, half);
  const cos = tf.tensor(angles.map(Math.cos), [length, half]);
  const sin = tf.tensor(angles.map(Math.sin), [length, half]);
  const [a, b] = tf.split(x, 2, 3) as [tf.Tensor, tf.Tensor];
  return tf.concat(
    [tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))],
    3,
  );
}

const plain = { options: () => ({}), formula: () => ({}) };

export const CASES: readonly Case[] = [
  { name: "self", ...SELF, ...plain },
  {
    name: "one query, one key, one column",
    q: [1, 1, 1, 1],
    k: [1, 1, 1, 1],
    v: [1, 1, 1, 1],
    ...plain,
  },
  { name: "67 keys", q: [1, 67, 1, 16], k: [1, 67, 1, 16], v: [1, 67, 1, 16], ...plain },
  {
    name: "one query over grouped heads",
    q: shape(1, 4),
    k: shape(67, 2),
    v: shape(67, 2),
    ...plain,
  },
  { name: "other lengths, grouped heads, narrow values", ...CROSS, ...plain },
  {
    name: "layout bhsd",
    ...{ q: [2, 4, 5, 8], k: [2, 2, 9, 8], v: [2, 2, 9, 6] },
    options: () => ({ layout: "bhsd" }),
    formula: () => ({ layout: "bhsd" }),
  },
  {
    name: "causal",
    ...CROSS,
    options: () => ({ causal: true }),
    formula: () => ({ visible: bottomRight }),
  },
  {
    name: "causal from the top left, a window, a scale",
    ...{ q: shape(9), k: shape(4), v: shape(4) },
    options: () => ({ causal: "top-left", window: { left: 2 }, softmaxScale: 0.4 }),
    formula: () => ({ softmaxScale: 0.4, visible: (_b, _h, i, j) => j <= i && j >= i - 2 }),
  },
  {
    name: "causal offsets and key lengths in tensors",
    ...CROSS,
    options: () => ({
      causal: { offset: tf.tensor([0, 3], [2], "int32") },
      keyLengths: tf.tensor([9, 6], [2], "int32"),
    }),
    formula: () => ({ visible: (b, _h, i, j) => j <= i + 3 * b && j < 9 - 3 * b }),
  },
  {
    name: "a key length of 0: rows without keys",
    ...CROSS,
    options: () => ({ keyLengths: [9, 0] }),
    formula: () => ({ visible: (b, _h, _i, j) => b === 0 && j < 9 }),
  },
  ...[[7, 7], [2, 1, 7], [2, 1, 1, 7], [2, 2, 7, 7], [1]].map((bias): Case => ({
    name: `bias of shape ${bias}`,
    ...SELF,
    alone: true,
    learned: { bias },
    options: ({ bias }) => ({ bias, causal: true }),
    formula: ({ bias }) => ({
      scores: (s) => tf.add(s, bias!),
      visible: (_b, _h, i, j) => j <= i,
    }),
  })),
  ...[[4], [2, 4]].map((alibiSlopes): Case => ({
    name: `ALiBi slopes of shape ${alibiSlopes}`,
    ...CROSS,
    alone: true,
    learned: { alibiSlopes },
    options: ({ alibiSlopes }) => ({ alibiSlopes }),
    formula: ({ alibiSlopes: m }) => ({
      scores: (s) => tf.sub(s, tf.mul(tf.reshape(m!, [-1, 4, 1, 1]), distances(5, 9))),
    }),
  })),
  {
    name: "a sink, a softcap",
    ...CROSS,
    alone: true,
    learned: { sink: [4] },
    options: ({ sink }) => ({ sink, softcap: 2 }),
    formula: ({ sink }) => ({ sink: sink!, scores: (s) => tf.mul(2, tf.tanh(tf.div(s, 2))) }),
  },
  ...[[7, 7], [2, 1, 1, 7], [5, 1, 7, 7]].map((mask): Case => {
    const [b, h, rows, keys] = [1, 1, 1, 1, ...mask].slice(-4) as [number, number, number, number];
    const q = shape(7), size = b * h * rows * keys;
    const of = { q: [b === 5 ? 5 : 2, ...q.slice(1)] };
    return {
      name: `a mask of shape ${mask}`,
      ...{ q: of.q, k: of.q, v: of.q },
      options: () => ({ mask: tf.tensor(bits.slice(0, size), mask, "bool") }),
      formula: () => ({
        visible: (batch, _h, i, j) =>
          bits[((b > 1 ? batch : 0) * rows + (rows > 1 ? i : 0)) * keys + j] === 1,
      }),
    };
  }),
  {
    name: "a mask that an op made",
    ...SELF,
    options: () => ({
      mask: tf.logicalNot(tf.tensor(bits.slice(0, 49).map((x) => 1 - x), [7, 7], "bool")),
    }),
    formula: () => ({ visible: (_b, _h, i, j) => bits[i * 7 + j] === 1 }),
  },
  {
    name: "dropout",
    ...CROSS,
    alone: true,
    options: () => ({ dropout: { probability: 0.25, seed: 11 } }),
    formula: () => {
      const kept = keptPairs({ probability: 0.25, seed: 11 }, [2, 4, 5, 9]);
      return { kept: tf.tensor(Float32Array.from(kept, (z) => z / 0.75), [2, 4, 5, 9]) };
    },
  },
  {
    name: "rotary",
    alone: true,
    ...{ q: shape(5, 4, 8), k: shape(9, 2, 8), v: shape(9, 2, 8) },
    options: () => ({ rotary: { positionsQ: tf.range(4, 9, 1, "int32") }, causal: true }),
    formula: () => ({ turn: (x, side) => rotate(x, side === "q" ? 4 : 0), visible: bottomRight }),
  },
  {
    name: "rotary tables in tensors",
    ...{ q: shape(7, 2, 8), k: shape(7, 2, 8), v: shape(7, 2, 8) },
    alone: true,
    options: () => {
      const [cos, sin] = [Math.cos, Math.sin].map((f) =>
        tf.tensor(anglesOf(0, 7, 4).map(f), [7, 4])
      );
      return { rotary: { cos: cos!, sin: sin! } };
    },
    formula: () => ({ turn: (x) => rotate(x, 0) }),
  },
  {
    name: "captured integers, and an array that nothing reads",
    ...SELF,
    alone: true,
    learned: { unread: [3] },
    options: ({ unread: values }) => ({
      scoreMod: scoreMod(({ score, head }) => score.mul(factors.at(head).toFloat())),
      captured: new Map<CapturedFloats | CapturedIntegers, tf.Tensor>([
        [factors, tf.tensor([2, 3], [2], "int32")],
        [unread, values!],
      ]),
    }),
    formula: ({ unread }) => ({
      scores: (s) =>
        tf.add(
          tf.mul(s, tf.tensor([2, 3], [1, 2, 1, 1])),
          tf.mul(0, tf.sum(unread!)), // its gradient is zeros
        ),
    }),
  },
  {
    name: "a maskMod",
    alone: true,
    ...SELF,
    options: () => ({ maskMod: maskMod(({ query, key }) => key.lt(3).or(key.le(query))) }),
    formula: () => ({ visible: (_b, _h, i, j) => j < 3 || j <= i }),
  },
  {
    name: "a block mask",
    ...SELF,
    alone: true,
    options: () => ({
      blockMask: createBlockMask(masks.causal(), { lengthQ: 7, lengthK: 7, blockSize: [2, 2] }),
    }),
    formula: () => ({ visible: (_b, _h, i, j) => j <= i }),
  },
  {
    name: "a scoreMod with captured tensors",
    alone: true,
    ...CROSS,
    learned: { gains: [4], table: [4, 5] },
    options: captures,
    formula: (of) => ({ scores: (s) => modScores(s, of) }),
  },
  {
    name: "everything at once",
    ...{ q: shape(5, 4, 8), k: shape(9, 2, 8), v: shape(9, 2, 8) },
    learned: { bias: [4, 5, 9], alibiSlopes: [2, 4], sink: [4], gains: [4], table: [4, 5] },
    options: ({ bias, alibiSlopes, sink, ...of }) => ({
      ...{ bias, alibiSlopes, sink, causal: true, softcap: 3, ...captures(of) },
      rotary: { positionsQ: tf.range(4, 9, 1, "int32") },
      maskMod: maskMod(({ query, key }) => key.gt(0).or(query.lt(3))),
      dropout: { probability: 0.5, seed: 3 },
    }),
    formula: ({ bias, alibiSlopes: m, sink, ...of }) => {
      const kept = keptPairs({ probability: 0.5, seed: 3 }, [2, 4, 5, 9]);
      return {
        turn: (x, side) => rotate(x, side === "q" ? 4 : 0),
        sink: sink!,
        visible: (b, h, i, j) => bottomRight(b, h, i, j) && (j > 0 || i < 3),
        kept: tf.tensor(Float32Array.from(kept, (z) => 2 * z), [2, 4, 5, 9]),
        scores: (s) => {
          const capped = tf.mul(3, tf.tanh(tf.div(s, 3)));
          const slope = tf.mul(tf.reshape(m!, [2, 4, 1, 1]), distances(5, 9));
          return modScores(tf.add(tf.sub(capped, slope), bias!), of);
        },
      };
    },
  },
];
