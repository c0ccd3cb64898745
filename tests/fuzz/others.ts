/** Everything public that is no call on tensors of an engine: what makes things, operators, neighbours, the checker. */
import assert from "node:assert/strict";
import {
  blockMaskFromLists,
  captured,
  createBlockMask,
  createEngine,
  dropoutMask,
  type Engine,
  maskMod,
  masks,
  scoreMod,
} from "../../mod.ts";
import { checkGradients, GradientCheckError } from "../../src/check.ts";
import {
  fromJax,
  fromLiteRt,
  fromOnnxRuntime,
  toLiteRt,
  toOnnxRuntime,
} from "../../src/interop.ts";
import { kernelBytes } from "../../src/kernels.ts";
import { onnxAttention } from "../../src/onnx.ts";
import type { PreparedCall } from "./calls.ts";
import type { Pick } from "./pick.ts";

type Made = Pick2<PreparedCall, "args" | "run">;
type Pick2<T, K extends keyof T> = { readonly [key in K]: T[key] };
type Make = (pick: Pick, engine: Engine) => Made;

/** A function whose arguments are what it is given, whatever that is. */
function calling(fn: unknown, ...args: unknown[]): Made {
  return { args, run: (args) => (fn as (...args: unknown[]) => unknown)(...args) };
}

function onnx(pick: Pick, engine: Engine): Made {
  const batch = 2,
    heads = 2,
    rows = pick.integer(1, 4),
    past = pick.once(2) ? pick.integer(0, 3) : -1;
  const tensor = (n: number) => pick.tensor([batch, heads, n, 4]);
  const total = rows + Math.max(0, past);
  const inputs = {
    ...{ Q: tensor(rows), K: tensor(rows), V: tensor(rows) },
    ...past >= 0 && { past_key: tensor(past), past_value: tensor(past) },
    ...pick.some(3, { attn_mask: () => pick.tensor([rows, total]) }),
  };
  const attributes = pick.some(3, {
    ...{ is_causal: () => 1, scale: () => 0.5, softcap: () => 3 },
    ...{ qk_matmul_output_mode: () => pick.integer(0, 3), softmax_precision: () => 1 },
    ...{ q_num_heads: () => heads, kv_num_heads: () => heads },
  });
  const outputs = ["Y", "present_key", "present_value", "qk_matmul_output"];
  const wanted = outputs.slice(0, pick.integer(1, past >= 0 ? 4 : 1));
  return calling(onnxAttention, inputs, attributes, { outputs: wanted, engine, opset: 24 });
}

/** Tensors of other libraries, as far as they are looked at. */
const neighbours: Readonly<Record<string, Make>> = {
  fromJax: (_, engine) =>
    calling(fromJax, engine, { getWebGPUDevice: () => engine.device ?? {} }, {
      ...{ device: "webgpu", dtype: "float32", shape: [2, 2], ref: { gpuBuffer: () => ({}) } },
      gpuBuffer: () => ({}),
    }),
  fromLiteRt: (_, engine) =>
    calling(fromLiteRt, engine, {
      accelerator: "webgpu",
      type: { dtype: "float32", layout: { dimensions: [2, 2] } },
      environment: { webGpuDevice: engine.device ?? null },
      toGpuBuffer: () => ({}),
    }),
  fromOnnxRuntime: (_, engine) =>
    calling(fromOnnxRuntime, engine, {
      ...{ location: "gpu-buffer", type: "float32", dims: [2, 2], gpuBuffer: {} },
    }),
  toLiteRt: (_, engine) =>
    calling(toLiteRt, { Tensor: class {} }, engine.tensor(new Float32Array(4), [4]), {}),
  toOnnxRuntime: (_, engine) =>
    calling(
      toOnnxRuntime,
      { Tensor: { fromGpuBuffer: () => ({}) } },
      engine.tensor(new Float32Array(4), [4]),
    ),
};

function cacheOptions(pick: Pick): Record<string, unknown> {
  return {
    ...{
      sequences: pick.integer(1, 3),
      kvHeads: 2,
      headDim: 4,
      dtype: pick.of("f32", "f16", "bf16", "i8"),
    },
    ...pick.once(2) ? { capacity: 8 } : { pageSize: 4, pages: 4 },
  };
}

/** Rows that go into a cache. */
function cacheArgs(pick: Pick, engine: Engine): Made {
  const options = cacheOptions(pick), cache = engine.kvCache(options as never);
  const sequences = cache.lengths.length, rows = () => pick.tensor([sequences, 2, 2, 4]);
  const method = pick.of(
    "append",
    "append",
    "truncate",
    "free",
    "fork",
    "export",
    "import",
    "length",
  );
  const state = {
    length: 1,
    keys: { rows: pick.tensor([1, 2, 4]), scales: new Float32Array(2) },
    values: { rows: pick.tensor([1, 2, 4]), scales: new Float32Array(2) },
  };
  const args: Readonly<Record<string, unknown[]>> = {
    append: [
      rows(),
      rows(),
      pick.some(2, {
        sequences: () => Array.from({ length: sequences }, (_, n) => n),
        rotary: () => ({ base: 100 }),
        layout: () => "bshd",
      }),
    ],
    truncate: [0, 0],
    import: [state],
  };
  return {
    args: args[method] ?? [0],
    run: async (args) => {
      try {
        return await (cache as unknown as Record<string, (...args: unknown[]) => unknown>)[method]!(
          ...args,
        );
      } finally {
        cache.dispose();
      }
    },
  };
}

/** Tensors: made, written, read. */
const tensors: Readonly<Record<string, Make>> = {
  tensor: (pick, engine) =>
    pick.once(2)
      ? calling(
        engine.tensor.bind(engine),
        new Float32Array(12),
        [3, 4],
        pick.of("f32", "f16", undefined),
      )
      : calling(engine.tensor.bind(engine), { ...pick.tensor([3, 4]), strides: [4, 1] }),
  empty: (pick, engine) =>
    calling(engine.empty.bind(engine), [3, 4], pick.of("f32", "bool", undefined)),
  wrap: (_, engine) =>
    calling(engine.wrap.bind(engine), { size: 64, usage: 128 }, [2, 2], {
      dtype: "f32",
      byteOffset: 0,
    }),
  write: (pick, engine) => {
    const tensor = engine.empty([3, 4], pick.of("f32", "f16"));
    const args = pick.of<unknown[]>(
      [new Float32Array(4), 4],
      [new Float32Array(4), [1]],
      [{ data: new Float32Array(4), shape: [2, 2] }, [1, 2]],
    );
    return {
      args,
      run: (args) => {
        using _ = tensor;
        return (tensor.write as (...args: unknown[]) => void).apply(tensor, args);
      },
    };
  },
  read: (_, engine) => {
    const tensor = engine.empty([2]);
    return {
      args: ["f32"],
      run: async (args) => {
        using _ = tensor;
        return await tensor.read(args[0] as "f32");
      },
    };
  },
  encode: (pick, engine) =>
    calling(
      engine.encode.bind(engine),
      { dispatchWorkgroups: 1 },
      ...[1, 2, 3].map(() => pick.tensor([1, 2, 1, 4])),
      pick.once(2) ? {} : { precision: pick.of("f32", "f16", "int8", "half") },
    ),
};

/** A value as text, where it can be. */
function inWords(value: unknown): string {
  try {
    return JSON.stringify(value, (_, x) => typeof x === "bigint" ? `${x}` : x) ?? "";
  } catch {
    return "";
  }
}

const lists = (): unknown => ({
  ...{ lengthQ: 8, lengthK: 8, blockSize: 4 },
  full: { offsets: Int32Array.of(0, 1, 2), columns: Int32Array.of(0, 1) },
  partial: { offsets: Int32Array.of(0, 0, 1), columns: Int32Array.of(0) },
  maskMod: masks.causal(),
});

/** What makes functions, masks, engines. */
const makers: Readonly<Record<string, Make>> = {
  captured: () => calling(captured, new Float32Array(6), [2, 3], { gradient: true }),
  scoreMod: () =>
    calling(scoreMod, ({ score }: { score: { mul(x: unknown): unknown } }) => score.mul(2)),
  "scoreMod of": (pick) => {
    const value = pick.integer(1, 5), op = pick.of("add", "mul", "div", "max", "pow", "lt", "sub");
    const args = [value];
    return {
      args,
      run: (args) =>
        scoreMod(({ score }) =>
          (score as never as Record<string, (x: unknown) => never>)[op]!(args[0])
        ),
    };
  },
  maskMod: () =>
    calling(
      maskMod,
      ({ query, key }: Record<string, { ge(x: unknown): unknown }>) => query!.ge(key),
    ),
  createBlockMask: () =>
    calling(createBlockMask, masks.causal(), {
      lengthQ: 8,
      lengthK: 8,
      blockSize: [4, 2],
      batch: 1,
      queryHeads: 2,
      diagonal: 0,
    }),
  blockMaskFromLists: () => calling(blockMaskFromLists, lists()),
  "masks.window": () => calling(masks.window, 3),
  "masks.documents": () => calling(masks.documents, Int32Array.of(0, 0, 1)),
  "masks.prefix": () => calling(masks.prefix, 3),
  dropoutMask: () =>
    calling(dropoutMask, {
      ...{ seed: 1, probability: 0.5, batch: 0, head: 0 },
      rows: [0, 4],
      keys: [0, 4],
    }),
  kernelBytes: () => calling(kernelBytes, "relaxed"),
  createEngine: () => ({
    args: [{ backend: "wasm", threads: 1, memoryBudget: 2 ** 26, simd: "plain", debug: false }],
    run: async (args) => (await createEngine(...args as [])).dispose(),
  }),
  kvCache: (pick, engine) => ({
    args: [cacheOptions(pick)],
    run: (args) => engine.kvCache(args[0] as never).dispose(),
  }),
  checkGradients: (pick, engine) => {
    const forward = (q: never, k: never, v: never, options: never) =>
      engine.attention(q, k, v, options);
    const backward = (dOut: never, saved: never, options: never) =>
      engine.attentionBackward(dOut, saved, options);
    const args = [forward, backward, {
      ...{ problems: 1, seed: pick.integer(1, 9), throws: false, finiteDifferences: false },
      ...{ sizes: { lengthQ: [1, 4], lengthK: [1, 4] }, options: ["causal"] },
    }];
    return {
      args,
      run: async (args) => {
        // 65536 queries are a legal question, whose formula in float64 takes long
        if (/[0-9]{3}/.test(inWords(args[2]))) return;
        const own = args[0] === forward && args[1] === backward;
        try {
          const { passed, text } = await checkGradients(
            ...args as Parameters<typeof checkGradients>,
          );
          assert.ok(passed || !own, text);
        } catch (error) {
          // functions that are not ours may be wrong, and the error says so
          if (own || !(error instanceof GradientCheckError)) throw error;
        }
      },
    };
  },
};

const OTHERS: Readonly<Record<string, Make>> = {
  onnxAttention: onnx,
  cache: cacheArgs,
  ...neighbours,
  ...tensors,
  ...makers,
};

/** The names of them. */
export const OTHER_CALLS: readonly string[] = Object.keys(OTHERS);

/** One of them with good arguments. */
export function prepareOther(engine: Engine, name: string, pick: Pick): PreparedCall {
  const { args, run } = OTHERS[name]!(pick, engine);
  return { name, args, run, written: new Set(), [Symbol.dispose]: () => {} };
}
