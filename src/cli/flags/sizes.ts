// The sizes of a problem by flags, for commands that need no numbers.
import type { FlagsOf } from "../command.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { choiceFlag, valueFlag, wholeKind } from "../values.ts";

const size = wholeKind(1), length = wholeKind(0);

/** Sizes with every default filled in. */
export interface Sizes {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly length: number;
  readonly keys: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype: "f32" | "f16" | "bf16";
}

/** Values of these flags. */
export type SizeValues = { readonly [N in keyof Sizes]: Sizes[N] | undefined };

/** Flags of the sizes. */
export const sizeFlags: FlagsOf<SizeValues> = {
  batch: valueFlag("--batch", size, "Sequences. Default: 1."),
  heads: valueFlag("--heads", size, "Heads of q. Default: 8."),
  kvHeads: valueFlag("--kv-heads", size, "Heads of k and v. Default: as many as q has."),
  length: valueFlag("--length", length, "Queries of a sequence. Default: 4096."),
  keys: valueFlag("--keys", length, "Keys of a sequence. Default: as many as queries."),
  headDim: valueFlag("--head-dim", size, "Numbers in a row of q and k. Default: 64."),
  valueDim: valueFlag("--value-dim", size, "Numbers in a row of v. Default: as in k."),
  dtype: choiceFlag("--dtype", ["f32", "f16", "bf16"], "How q, k and v are stored. Default: f32."),
};

/** The sizes that flags give. */
export function sizesOf(values: SizeValues): Sizes {
  const { batch = 1, heads = 8, length = 4096, headDim = 64, dtype = "f32" } = values;
  const { kvHeads = heads, keys = length, valueDim = headDim } = values;
  return { batch, heads, kvHeads, length, keys, headDim, valueDim, dtype };
}

/** Operands of these sizes that take no memory: every row is the same row of zeros. Only for what reads none. */
export function emptyOperands(
  { batch, heads, kvHeads, length, keys, headDim, valueDim, dtype }: Sizes,
  layout: "bshd" | "bhsd" = "bshd",
): Record<"q" | "k" | "v", HostTensor> {
  const tensor = (rows: number, heads: number, dim: number): HostTensor => ({
    data: dtype === "f32" ? new Float32Array(dim) : new Uint16Array(dim),
    shape: layout === "bshd" ? [batch, rows, heads, dim] : [batch, heads, rows, dim],
    ...{ strides: [0, 0, 0, 1], dtype },
  });
  return {
    q: tensor(length, heads, headDim),
    k: tensor(keys, kvHeads, headDim),
    v: tensor(keys, kvHeads, valueDim),
  };
}
