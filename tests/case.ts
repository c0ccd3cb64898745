/** A case of the grid: plain data with a printable name. The name is also the seed and the way to rerun the case. */

import type { StorageType } from "./half.ts";
import type { BlockForm } from "./block_masks.ts";
import type { MaskName, ScoreName } from "./mods.ts";
import type { Layout, Window } from "./reference/problem.ts";

/** Which of the axes [batch, head, query, key] an array has in full: "bhqk", "11qk" (axes of 1), "qk" (missing). */
export type BroadcastAxes = string;

/** How the rows of a boolean mask look. */
export type MaskPattern =
  | "random"
  | "padding"
  | "documents"
  | "prefix"
  | "dilated"
  | "blocks"
  | "empty rows"
  | "nothing";

/** How operands lie in memory. */
export type Arrangement = "packed" | "padded rows" | "transposed" | "view";

export type CausalForm = true | "bottom-right" | "top-left" | {
  readonly offset: number | readonly number[];
};

/** Rotary positions. Given ones: for the rows of a sequence, of each sequence, or far from 0. */
export interface RotaryForm {
  readonly base?: number;
  readonly dims?: number;
  readonly interleaved?: boolean;
  readonly positions?: "shared" | "each" | "far";
  /** Tables in place of a base. */
  readonly tables?: boolean;
  /** false: k is rotated already. */
  readonly keys?: boolean;
}

/** What is asked of the library. Missing fields mean: not given in the call. */
export interface Case {
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly layout: Layout;
  readonly dtype: StorageType;
  readonly storage: "bits" | "Float16Array";
  readonly arrangement: Arrangement;
  /** Factor on q: 5 makes large scores. */
  readonly amplitude: number;
  readonly rotary?: RotaryForm | undefined;
  readonly softmaxScale?: number | undefined;
  readonly softcap?: number | undefined;
  readonly causal?: CausalForm | undefined;
  readonly window?: Window | undefined;
  readonly keyLengths?: readonly number[] | undefined;
  /** Slopes for each head, or for each sequence and head. */
  readonly alibiSlopes?: "h" | "bh" | undefined;
  readonly bias?: BroadcastAxes | undefined;
  /** Makes about a fifth of the bias −∞. */
  readonly biasHoles?: boolean | undefined;
  readonly mask?: { readonly axes: BroadcastAxes; readonly pattern: MaskPattern } | undefined;
  /** Functions of tests/mods.ts. */
  readonly scoreMod?: ScoreName | undefined;
  readonly maskMod?: MaskName | undefined;
  readonly blockMask?: BlockForm | undefined;
  readonly sink?: boolean | undefined;
  /** The probability that a pair is dropped. */
  readonly dropout?: number | undefined;
  /** Gives the backward pass a gradient of lse too. */
  readonly dLse?: boolean | undefined;
  /** All statistics of rows. */
  readonly stats?: boolean | undefined;
  /** Gives the backward pass a gradient of the entropy; forward makes that at least. */
  readonly dEntropy?: boolean | undefined;
}

const plain: Case = {
  batch: 1,
  queryHeads: 1,
  kvHeads: 1,
  lengthQ: 17,
  lengthK: 17,
  headDim: 16,
  valueDim: 16,
  layout: "bshd",
  dtype: "f32",
  storage: "bits",
  arrangement: "packed",
  amplitude: 1,
};

/** A case from what differs from the plain one. valueDim follows headDim, kvHeads queryHeads, lengthK lengthQ. */
export function defineCase(fields: Partial<Case>): Case {
  const merged = { ...plain, ...fields };
  return {
    ...merged,
    valueDim: fields.valueDim ?? merged.headDim,
    kvHeads: fields.kvHeads ?? merged.queryHeads,
    lengthK: fields.lengthK ?? merged.lengthQ,
  };
}

/** The name: sizes first, then whatever is not plain. */
export function caseName(c: Case): string {
  const causal = c.causal === undefined
    ? undefined
    : typeof c.causal === "object"
    ? `causal offset ${c.causal.offset}`
    : c.causal === true
    ? "causal"
    : `causal ${c.causal}`;
  const window = c.window && `window ${c.window.left ?? ""}..${c.window.right ?? ""}`;
  return [
    `b${c.batch} h${c.queryHeads}/${c.kvHeads} q${c.lengthQ} k${c.lengthK}`,
    c.headDim === c.valueDim ? `d${c.headDim}` : `d${c.headDim}/${c.valueDim}`,
    c.layout === "bshd" ? undefined : c.layout,
    c.dtype === "f32" ? undefined : c.storage === "bits" ? c.dtype : c.storage,
    c.arrangement === "packed" ? undefined : c.arrangement,
    c.amplitude === 1 ? undefined : `q×${c.amplitude}`,
    c.rotary && rotaryName(c.rotary),
    c.softmaxScale === undefined ? undefined : `scale ${c.softmaxScale}`,
    c.softcap === undefined ? undefined : `softcap ${c.softcap}`,
    c.alibiSlopes && `alibi ${c.alibiSlopes}`,
    causal,
    window,
    c.keyLengths && `keyLengths ${c.keyLengths}`,
    c.bias && `bias ${c.bias}${c.biasHoles ? " with holes" : ""}`,
    c.mask && `mask ${c.mask.axes} ${c.mask.pattern}`,
    c.scoreMod && `scoreMod ${c.scoreMod}`,
    c.maskMod && `maskMod ${c.maskMod}`,
    c.blockMask && blockName(c.blockMask),
    c.sink ? "sink" : undefined,
    c.dropout === undefined ? undefined : `dropout ${c.dropout}`,
    c.dLse ? "dLse" : undefined,
    c.stats ? "stats" : undefined,
    c.dEntropy ? "dEntropy" : undefined,
  ].filter((part) => part !== undefined).join(" ");
}

/** "rotary", "rotary dims 6 interleaved", "rotary positions each no keys". */
function rotaryName({ base, dims, interleaved, positions, tables, keys }: RotaryForm): string {
  return [
    "rotary",
    base === undefined ? undefined : `base ${base}`,
    dims === undefined ? undefined : `dims ${dims}`,
    interleaved && "interleaved",
    positions && `positions ${positions}`,
    tables && "tables",
    keys === false && "no keys",
  ].filter(Boolean).join(" ");
}

/** "blocks 16×32 documents", "lists 64×64", "lists 64×64 causal". */
function blockName({ made, size, mask }: BlockForm): string {
  return [made, size.join("×"), mask].filter((part) => part !== undefined).join(" ");
}

/** Multiply-adds of one product over the whole problem: what a case costs the oracle. */
export function caseWork(c: Case): number {
  return c.batch * c.queryHeads * c.lengthQ * c.lengthK * (c.headDim + c.valueDim);
}
