/** Good arguments: sizes, tensors and options of a call, before something about them is made wrong. */
import {
  type AnyTensor,
  captured,
  createBlockMask,
  type Engine,
  type HostTensor,
  maskMod,
  masks,
  scoreMod,
} from "../../mod.ts";
import type { Pick } from "./pick.ts";

/** Sizes of a call. */
export interface Sizes {
  readonly batch: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly layout: "bshd" | "bhsd";
}

/** Small ones, of which none is 0 most of the time. */
export function pickSizes(pick: Pick): Sizes {
  const kvHeads = pick.integer(1, 2), small = () => pick.once(20) ? 0 : pick.integer(1, 9);
  const lengthQ = pick.once(4) ? pick.integer(16, 24) : small(); // of few, precisions are refused
  return {
    ...{ batch: pick.integer(1, 2), lengthQ, lengthK: small(), kvHeads },
    ...{ queryHeads: kvHeads * pick.integer(1, 2), headDim: 2 * pick.integer(1, 6) },
    ...{ valueDim: pick.integer(1, 9), layout: pick.of("bshd", "bhsd") },
  };
}

/** The shape of q, k, v or out. */
export function shapeOf(
  { layout, batch }: Sizes,
  heads: number,
  rows: number,
  dim: number,
): number[] {
  return layout === "bshd" ? [batch, rows, heads, dim] : [batch, heads, rows, dim];
}

/** Where tensors are: in host memory, or in that of an engine. */
export class Placed implements Disposable {
  readonly #engine: Engine;
  readonly #resident: boolean;
  readonly #made: Disposable[] = [];

  constructor(engine: Engine, resident: boolean) {
    this.#engine = engine;
    this.#resident = resident;
  }

  /** A tensor in its place. */
  at(tensor: HostTensor): AnyTensor {
    if (!this.#resident) return tensor;
    const made = this.#engine.tensor(tensor);
    this.#made.push(made);
    return made;
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#made) tensor[Symbol.dispose]();
  }
}

/** q, k and v. */
export function pickOperands(
  pick: Pick,
  sizes: Sizes,
  placed: Placed,
): { q: AnyTensor; k: AnyTensor; v: AnyTensor } {
  const { lengthQ, lengthK, queryHeads, kvHeads, headDim, valueDim } = sizes;
  const dtype = pick.of("f32", "f32", "f16", "bf16");
  const tensor = (heads: number, rows: number, dim: number) =>
    placed.at(pick.tensor(shapeOf(sizes, heads, rows, dim), dtype));
  return {
    q: tensor(queryHeads, lengthQ, headDim),
    k: tensor(kvHeads, lengthK, headDim),
    v: tensor(kvHeads, lengthK, valueDim),
  };
}

/** out, lse and dOut, as backward calls take them. */
export function pickResults(
  pick: Pick,
  sizes: Sizes,
  placed: Placed,
): { out: AnyTensor; dOut: AnyTensor; lse: AnyTensor } {
  const { batch, lengthQ, queryHeads, valueDim } = sizes;
  const out = () => placed.at(pick.tensor(shapeOf(sizes, queryHeads, lengthQ, valueDim)));
  return { out: out(), dOut: out(), lse: placed.at(pick.tensor([batch, queryHeads, lengthQ])) };
}

/** A score function, perhaps with a captured array. */
function pickScoreMod(pick: Pick, queryHeads: number) {
  if (pick.once(2)) {
    return scoreMod(({ score, query, key }) => score.sub(query.sub(key).abs().toFloat()));
  }
  const values = Float32Array.from({ length: queryHeads }, () => 0.5);
  const slopes = captured(values, [queryHeads], { gradient: pick.once(2) });
  return scoreMod(({ score, head }) => score.mul(slopes.at(head)));
}

/** Options of `attention`, each there now and then. */
export function pickOptions(pick: Pick, sizes: Sizes, placed: Placed): Record<string, unknown> {
  const { batch, lengthQ, lengthK, queryHeads, layout } = sizes;
  const host = (...shape: number[]) => pick.tensor(shape);
  const scores = [batch, queryHeads, lengthQ, lengthK];
  const broadcast = () => scores.map((n) => pick.once(3) ? 1 : n);
  const bytes = (shape: number[]) => ({
    data: Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => pick.integer(0, 1)),
    shape,
  });
  const chosen: Record<string, unknown> = pick.some(6, {
    rotary: () => ({ interleaved: pick.once(2), base: 1e4, keys: pick.once(2) }),
    softmaxScale: () => 0.3,
    softcap: () => 5,
    alibiSlopes: () => placed.at(host(queryHeads)),
    bias: () => placed.at(host(...broadcast())),
    scoreMod: () => pickScoreMod(pick, queryHeads),
    mask: () => bytes(broadcast()),
    maskMod: () =>
      pick.of(masks.causal(), maskMod(({ query, key }) => query.add(key).mod(3).ne(1))),
    keyLengths: () => Array.from({ length: batch }, () => pick.integer(0, lengthK)),
    causal: () => pick.of<unknown>(true, "top-left", { offset: pick.integer(-3, 3) }),
    window: () => ({ left: pick.integer(0, 5), right: pick.integer(0, 5) }),
    sink: () => placed.at(host(queryHeads)),
    dropout: () => ({ probability: 0.25, seed: pick.of<number | bigint>(7, 7n) }),
    stats: () => ["entropy"],
  });
  if (pick.once(8) && lengthQ * lengthK > 0) {
    delete chosen["maskMod"];
    chosen["blockMask"] = createBlockMask(masks.causal(), { lengthQ, lengthK, blockSize: 4 });
  }
  return { layout, ...chosen };
}

/** Names of precisions: all that there are, and some that somebody might think of. */
const PRECISIONS = ["f32", "f16", "int8", "int8-pv", "int8-pv", "half", "F16", "float32", "bf16"]
  .concat(["int4", "int8_pv", "int8-pv ", "INT8", "i8", "highest", "", "toString", "__proto__"]);

/** What calls are asked beside what they compute: a precision, rows to verify. */
export function pickAsked(pick: Pick): Record<string, unknown> {
  return {
    ...pick.some(3, { precision: () => pick.of(...PRECISIONS.slice(0, pick.once(3) ? 99 : 5)) }),
    ...pick.some(6, { verify: () => pick.of<unknown>("sample", false, { rows: 3, seed: 5 }) }),
  };
}
