/** Attentions with a planted fault each, made of the library's own: what a gradient checker must find and name. */

import type {
  CheckedBackward,
  CheckedBackwardOptions,
  CheckedCallOptions,
  CheckedForward,
  CheckedTensor,
} from "../src/check.ts";
import { attentionBackwardSync, type AttentionOptions, attentionSync } from "../mod.ts";

/** What the forward functions return. */
export interface Forward {
  readonly out: CheckedTensor;
  readonly lse: CheckedTensor;
}

/** What the backward functions return. */
export type Gradients = Record<"dq" | "dk" | "dv", CheckedTensor> & {
  readonly dBias?: CheckedTensor | undefined;
  readonly dAlibiSlopes?: CheckedTensor | undefined;
  readonly dSink?: CheckedTensor | undefined;
};

type Saved = Parameters<CheckedBackward<Forward>>[1];

export const forward: CheckedForward<Forward> = (q, k, v, options) =>
  attentionSync(q, k, v, options as AttentionOptions) as Forward;

export function backward(
  dOut: CheckedTensor,
  saved: Saved,
  options: CheckedBackwardOptions,
): Gradients {
  return attentionBackwardSync(dOut, saved, options as AttentionOptions) as Gradients;
}

/** The tensor with each number changed; `n` counts them. */
export function mapped(
  tensor: CheckedTensor,
  change: (value: number, n: number) => number,
): CheckedTensor {
  return { ...tensor, data: tensor.data.map(change) };
}

/** A right forward pass whose backward pass is changed at the end. */
export function spoilt(
  change: (
    gradients: Gradients,
    saved: Saved,
    options: CheckedBackwardOptions,
    dOut: CheckedTensor,
  ) => Partial<Gradients>,
): CheckedBackward<Forward> {
  return (dOut, saved, options) => {
    const gradients = backward(dOut, saved, options);
    return { ...gradients, ...change(gradients, saved, options, dOut) };
  };
}

/** The head of an element of a tensor in layout bshd. */
function headOf({ shape }: CheckedTensor, n: number): number {
  return Math.floor(n / shape[3]!) % shape[2]!;
}

/** Only the first query head of each group reaches dk and dv. */
export const withoutGroupSum: CheckedBackward<Forward> = spoilt((_, saved, options, dOut) => {
  const group = saved.q.shape[2]! / saved.k.shape[2]!;
  const first = mapped(dOut, (x, n) => headOf(dOut, n) % group === 0 ? x : 0);
  const { dk, dv } = backward(first, saved, options);
  return { dk, dv };
});

/** Only the last batch element reaches a dBias that the batch shares. */
export const withoutBatchSum: CheckedBackward<Forward> = spoilt(
  ({ dBias }, saved, options, dOut) => {
    if (!dBias || dBias.shape[0] !== 1) return {};
    const begin = dOut.data.length * (1 - 1 / dOut.shape[0]!);
    return { dBias: backward(mapped(dOut, (x, n) => n < begin ? 0 : x), saved, options).dBias };
  },
);

/** dv in the order [batch, head, key, dim]. */
export const transposedHeads: CheckedBackward<Forward> = spoilt(({ dv }) => {
  const [, rows, heads, dim] = dv.shape as [number, number, number, number];
  const data = new Float32Array(dv.data.length);
  for (let n = 0; n < data.length; n++) {
    const d = n % dim, h = Math.floor(n / dim) % heads, row = Math.floor(n / dim / heads) % rows;
    const b = Math.floor(n / dim / heads / rows);
    data[((b * heads + h) * rows + row) * dim + d] = dv.data[n]!;
  }
  return { dv: { ...dv, data } };
});

/** The options with the causal diagonal one key further right. */
export function shifted(
  options: CheckedCallOptions,
  lengthQ: number,
  lengthK: number,
): CheckedCallOptions {
  if (options.causal !== true) return options;
  return { ...options, causal: { offset: lengthK - lengthQ + 1 } } as unknown as CheckedCallOptions;
}

/** out is NaN in rows without keys, as a softmax over nothing is. */
export const nanRows: CheckedForward<Forward> = (q, k, v, options) => {
  const { out, lse } = forward(q, k, v, options) as Forward;
  const [, rows, heads, dim] = out.shape as [number, number, number, number];
  const empty = (n: number) => {
    const row = Math.floor(n / dim / heads) % rows, b = Math.floor(n / dim / heads / rows);
    return lse.data[(b * heads + headOf(out, n)) * rows + row] === -Infinity;
  };
  return { lse, out: mapped(out, (x, n) => empty(n) ? NaN : x) };
};

/** lse of a softmax whose maximum was not added again. Plain calls alone. */
export const lseWithoutMax: CheckedForward<Forward & { right: CheckedTensor }> = (q, k, v, o) => {
  const { out, lse } = forward(q, k, v, o) as Forward;
  const [, rows, heads, dim] = q.shape as [number, number, number, number];
  const [, keys, kvHeads] = k.shape as [number, number, number, number];
  const max = (n: number) => {
    const i = n % rows, h = Math.floor(n / rows) % heads, b = Math.floor(n / rows / heads);
    const kvHead = Math.floor(h * kvHeads / heads);
    let largest = -Infinity;
    for (let j = 0; j < keys; j++) {
      let dot = 0;
      for (let d = 0; d < dim; d++) {
        dot += q.data[((b * rows + i) * heads + h) * dim + d]! *
          k.data[((b * keys + j) * kvHeads + kvHead) * dim + d]!;
      }
      largest = Math.max(largest, dot / Math.sqrt(dim));
    }
    return largest;
  };
  return { out, lse: mapped(lse, (x, n) => x - max(n)), right: lse };
};
