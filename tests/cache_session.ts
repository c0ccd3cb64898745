/** Keys and values put into a KV cache first: a call on them must give what the oracle gives of the tensors. */

import {
  type AppendRotary,
  createEngine,
  type Engine,
  type KvCache,
  type KvCacheOptions,
} from "../mod.ts";
import {
  type Configuration,
  type ForwardInputs,
  hostForward,
  openGpu,
  type Session,
} from "./backends.ts";
import { dtypeOf } from "./oracle.ts";
import type { ReferenceOptions, TestTensor } from "./reference/problem.ts";
import { caseTaken, partTaken, runTakes } from "./selection.ts";

/** Sizes of pages that cases take in turn; 0: a cache with room of its own for each sequence. */
const PAGE_SIZES = [16, 3, 0, 64, 1, 20];
/** On a GPU, whose kernels tell powers of two from others, in the core; tests/cache_test.ts has both. */
const FEW_PAGE_SIZES = [16, 64, 1];

/** Sizes of k as [batch, rows, heads, columns]. */
function sizesOf({ shape }: TestTensor, layout: ReferenceOptions["layout"]) {
  const [batch, a, b, columns] = shape as [number, number, number, number];
  return layout === "bhsd"
    ? { batch, rows: b, heads: a, columns }
    : { batch, rows: a, heads: b, columns };
}

/** A cache that holds k and v, appended in two pieces, or in one where keys are rotated on their way. */
function cacheOf(engine: Engine, inputs: ForwardInputs, pageSize: number): KvCache {
  const { k, v, options: { layout, rotary } } = inputs;
  const { batch, rows, heads, columns } = sizesOf(k, layout);
  const sizes = {
    ...{ sequences: batch, kvHeads: heads, headDim: columns },
    ...{ valueDim: v.shape[3]!, dtype: dtypeOf(k) },
  };
  const room: KvCacheOptions = pageSize === 0
    ? { ...sizes, capacity: Math.max(1, rows) }
    : { ...sizes, pageSize, pages: Math.max(1, batch * Math.ceil(rows / pageSize)) };
  const cache = engine.kvCache(room), axis = layout === "bhsd" ? 2 : 1;
  const cut = Math.floor(0.6 * rows);
  for (const [begin, end] of rotary ? [[0, rows]] as const : [[0, cut], [cut, rows]] as const) {
    const part = (tensor: TestTensor) => rowsOf(tensor, axis, begin, end);
    cache.append(part(k), part(v), { layout, rotary: rotary && enteringRotary(rotary) });
  }
  return cache;
}

type Rotary = NonNullable<ReferenceOptions["rotary"]>;

/** How keys are rotated as they enter, where a call would rotate them; not at all where they are rotated already. */
function enteringRotary(
  { positionsQ: _, positionsK, keys, ...form }: Rotary,
): AppendRotary | undefined {
  return keys === false ? undefined : { ...form, positions: positionsK };
}

/** What is left of that for the call. */
function readingRotary({ positionsK: _, ...rest }: Rotary): Rotary {
  return { ...rest, keys: false };
}

/** Rows of a tensor, where they lie. */
function rowsOf(tensor: TestTensor, axis: number, begin: number, end: number): TestTensor {
  const { shape, data, dtype } = tensor;
  const dense = shape.map((_, n) => shape.slice(n + 1).reduce((a, b) => a * b, 1));
  const strides = tensor.strides ?? dense;
  const part = shape.map((n, index) => index === axis ? end - begin : n);
  return {
    data: data.subarray(Math.min(data.length, begin * strides[axis]!)) as typeof data,
    shape: part,
    strides,
    ...dtype && { dtype },
  };
}

function cachedSession(engine: Engine, takes: Session["takes"]): Session {
  let turn = 0;
  const few = engine.backend === "webgpu" && !runTakes("rest");
  const pageSizes = few ? FEW_PAGE_SIZES : PAGE_SIZES;
  return {
    // rotated keys of 16 bits are rounded once more as they enter
    takes: (c) => takes(c) && c.batch * c.kvHeads > 0 && (c.dtype === "f32" || !c.rotary),
    forward: async (inputs) => {
      using cache = cacheOf(engine, inputs, pageSizes[turn++ % pageSizes.length]!);
      const { q, options: { rotary, ...rest } } = inputs;
      const options = { ...rest, ...rotary && { rotary: readingRotary(rotary) } };
      return await hostForward(await engine.attention(q, cache.keys, cache.values, options));
    },
    backward: () => Promise.reject(new Error("no gradient goes through a cache")),
    [Symbol.asyncDispose]: () => Promise.resolve(engine.dispose()),
  };
}

/** Caches of both engines. Their kernels are others on a GPU: its core takes few of the cases. */
export const cachedConfigurations: readonly Configuration[] = [
  {
    name: "a cache, wasm",
    open: async () => {
      const engine = await createEngine({ backend: "wasm", threads: 2 });
      return cachedSession(engine, (c) => caseTaken("wasm", c));
    },
  },
  {
    name: "a cache, webgpu",
    open: async () => {
      const engine = await openGpu();
      if ("absent" in engine) return engine;
      let n = 0;
      return cachedSession(
        engine,
        (c) => caseTaken("webgpu", c, { resident: true }) && partTaken(n++ % 8 ? "rest" : "core"),
      );
    },
  },
];
