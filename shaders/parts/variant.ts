// What a generated attention kernel depends on beyond its uniforms: the key of the pipeline cache.
import type { CapturedArray, Node } from "../../src/expression/node.ts";
import type { FeatureName } from "../../src/problem/features/feature.ts";
import { kindName, type StorageKind } from "./storage.ts";
import type { TileShape } from "../abi.ts";

/** Storage of the operands that kernels read in rows. */
export interface RowKinds {
  readonly q: StorageKind;
  readonly k: StorageKind;
  readonly v: StorageKind;
  /** Backward only. */
  readonly dOut?: StorageKind;
}

/** A function that a caller wrote: what kernels compute of a pair. */
export interface Program {
  readonly root: Node;
  /** The derivative by the score of a function of it. */
  readonly slope: Node | undefined;
  /** What captured arrays learn from a pair: the derivative by an element, and which one, of all that learn. */
  readonly learned?: readonly { readonly share: Node; readonly place: Node }[];
  /** The captured arrays that it reads, in their order in the schedule. */
  readonly arrays: readonly CapturedArray[];
  /** Equal for programs of the same text. */
  readonly key: string;
}

/** What the text of a feature depends on: how its operand is stored ("" where that is nothing), or a function. */
export type FeatureText = string | Program;

/** A specialisation of an attention kernel. */
export interface Variant {
  readonly tile: TileShape;
  /** Chunks of the head and of the value dimension. */
  readonly headChunks: number;
  readonly valueChunks: number;
  /** Chunks of result columns that one workgroup makes; fewer than all: wid.z counts the blocks. */
  readonly blockChunks: number;
  readonly kinds: RowKinds;
  /** Several query heads read one kv head: rows are queries times heads of the group. */
  readonly grouped: boolean;
  /** Features that are on, in their order, each with what its text depends on. */
  readonly features: ReadonlyMap<FeatureName, FeatureText>;
  /** Forward: rows have statistics. Backward: the entropy of rows was given a gradient. */
  readonly statistics: boolean;
}

/** Equal for variants that have the same text. */
export function variantKey(kernel: string, v: Variant): string {
  const { nx, ny, tm, tn, chunk, depth, unroll, resident, halves } = v.tile;
  const kinds = Object.entries(v.kinds).map(([name, kind]) => `${name} ${kindName(kind)}`);
  return [
    kernel,
    `${nx}x${ny} ${tm}x${tn} chunk ${chunk} depth ${depth} unroll ${unroll}${
      resident ? " resident" : ""
    }${halves ? " halves" : ""}`,
    `head ${v.headChunks} value ${v.valueChunks} block ${v.blockChunks}`,
    ...kinds,
    v.grouped && "grouped",
    v.statistics && "statistics",
    ...[...v.features].map(([name, text]) => {
      const key = typeof text === "string" ? text : text.key;
      return key ? `${name} ${key}` : name;
    }),
  ].filter(Boolean).join(", ");
}
