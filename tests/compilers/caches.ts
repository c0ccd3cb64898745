// The calls of a cache: those of a case whose k and v lie in pages, in every storage type.
import { storeShader } from "../../shaders/kernels/store.ts";
import { kindName, type StorageKind } from "../../shaders/parts/storage.ts";
import { describeColumnSums, describeScores, describeTopKeys } from "../../src/problem/inside.ts";
import { type Call, describeForward, specsOf } from "../../src/problem/problem.ts";
import { type PageTable, type PoolShape, poolStrides } from "../../src/tensor/pages.ts";
import type { View } from "../../src/tensor/view.ts";
import type { Step } from "../../src/webgpu/dispatch/dispatch.ts";
import { type Case, defineCase } from "../case.ts";
import { makeInputs } from "../inputs.ts";
import { everything } from "../selection.ts";

const DTYPES = ["f32", "f16", "bf16", "i8"] as const;
type PoolType = typeof DTYPES[number];

/** Tiles and decode, columns in fours and not, no feature and all of them. */
const cases: readonly Case[] = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 40, lengthK: 50, headDim: 24 }),
  defineCase({ queryHeads: 2, lengthQ: 40, lengthK: 50, headDim: 35, valueDim: 18 }),
  defineCase({ queryHeads: 4, kvHeads: 1, lengthQ: 2, lengthK: 300, headDim: 64, causal: true }),
  defineCase({ queryHeads: 2, lengthQ: 1, lengthK: 300, headDim: 35, softcap: 4 }),
  defineCase({ queryHeads: 2, lengthQ: 40, lengthK: 50, headDim: 64, ...everything }),
];

/** A view of k or v as it would lie in a cache. */
function cachedView(view: View, dtype: PoolType): View {
  const [batch, heads, length, columns] = view.size;
  const rows = dtype === "bf16" ? 12 : 16; // a page is found by dividing, or by a shift
  const perSequence = Math.ceil(length / rows), pages = batch * perSequence;
  const pool: PoolShape = { pages, heads, rows, columns, dtype };
  const table: PageTable = {
    rows,
    numbers: Int32Array.from({ length: pages }, (_, n) => n),
    ...{ columns: perSequence, lengths: new Array(batch).fill(length), first: 0 },
  };
  const tensor = { buffer: { size: 2 ** 20 }, byteLength: 2 ** 20 } as unknown as View["tensor"];
  return { ...view, dtype, tensor, strides: [...poolStrides(pool), 1], offset: 0, pages: table };
}

/** The same call on a cache. */
function onCache({ problem, views }: Call, dtype: PoolType): Call {
  const { k, v } = views;
  const all = { ...views, k: cachedView(k!, dtype), ...v && { v: cachedView(v, dtype) } };
  return { problem: { ...problem, operands: specsOf(all) }, views: all };
}

/** The calls of caches, each with its name. */
export function cacheCalls(): { readonly name: string; readonly calls: readonly Call[] }[] {
  return cases.flatMap((c) => {
    const { q, k, v, options, name } = makeInputs(c), { batch, queryHeads, lengthQ } = c;
    const shape = [batch, queryHeads, lengthQ];
    const lse = { data: new Float32Array(batch * queryHeads * lengthQ), shape };
    const calls = [
      describeForward(q, k, v, options),
      describeScores(q, k, { ...options, stage: "probabilities", lse }),
      describeTopKeys(q, k, lse, { ...options, count: 4 }),
      describeColumnSums(q, k, lse, options),
    ];
    return DTYPES.map((dtype) => ({
      name: `${name}, a cache in ${dtype}`,
      calls: calls.map((call) => onCache(call, dtype)),
    }));
  });
}

/** What stores rows: from every type, in fours and element by element, to every type. */
export function storeKernels(): Step["kernel"][] {
  const sources = (["f32", "f16", "bf16"] as const).flatMap((dtype): StorageKind[] => [
    { dtype, scalar: false },
    { dtype, scalar: true },
  ]);
  return sources.flatMap((kind) =>
    DTYPES.map((dtype) => ({
      key: `store ${kindName(kind)} as ${dtype}`,
      code: () => storeShader(kind, dtype),
    }))
  );
}
