// flashtile, on either backend, with tensors that lie where it computes; in the page where workers compute, which have
// memories of their own.
import type { AttentionResult, Engine, Tensor, WasmTarget } from "@flashtile/attention";
import type { Inputs } from "../../attention/inputs.ts";
import type { Contender, Prepared } from "./contender.ts";

/** An engine as a contender. */
export function flashContender(engine: Engine): Contender {
  const place = engine.backend === "wasm" ? "cpu" : "gpu";
  return {
    id: `flash ${place}`,
    name: `flashtile, ${place.toUpperCase()}`,
    tooLong: () => undefined,
    prepare: (inputs, signal) =>
      (engine.target as WasmTarget).workers
        ? prepareHost(engine, inputs, signal)
        : prepareResident(engine, inputs, signal),
  };
}

const LAYOUT = { layout: "bhsd" } as const;

/** Host tensors, which are sent to workers: what stays in the engine's memory would be computed by one thread. */
async function prepareHost(
  engine: Engine,
  { heads, length, headDim, q, k, v }: Inputs,
  signal: AbortSignal,
): Promise<Prepared> {
  const shape = [1, heads, length, headDim], out = { data: new Float32Array(q.length), shape };
  const [tq, tk, tv] = [q, k, v].map((data) => ({ data, shape }));
  const options = { ...LAYOUT, into: { out } };
  const call = (signal: AbortSignal) => engine.attention(tq!, tk!, tv!, { ...options, signal });
  await call(signal);
  return {
    memoryBytes: engine.explain(tq!, tk!, tv!, options).memoryBytes,
    async run(times, signal) {
      const begin = performance.now();
      for (let n = 0; n < times; n++) await call(signal);
      return performance.now() - begin;
    },
    read: () => Promise.resolve(out.data),
    dispose: () => {},
  };
}

async function prepareResident(
  engine: Engine,
  { heads, length, headDim, q, k, v }: Inputs,
  signal: AbortSignal,
): Promise<Prepared> {
  const shape = [1, heads, length, headDim];
  const tensors: Tensor[] = [];
  let result: AttentionResult<Tensor> | undefined;
  const freeResult = () => {
    result?.out.dispose();
    result?.lse.dispose();
    result = undefined;
  };
  const dispose = () => {
    freeResult();
    for (const tensor of tensors) tensor.dispose();
  };
  const call = (signal: AbortSignal) => {
    freeResult();
    const [tq, tk, tv] = tensors;
    return engine.attention(tq!, tk!, tv!, { ...LAYOUT, signal });
  };
  try {
    for (const data of [q, k, v]) tensors.push(engine.tensor(data, shape));
    result = await call(signal);
    const [tq, tk, tv] = tensors;
    const { memoryBytes } = engine.explain(tq!, tk!, tv!, LAYOUT);
    return {
      memoryBytes,
      async run(times, signal) {
        await engine.synchronize();
        const begin = performance.now();
        for (let n = 0; n < times; n++) result = await call(signal);
        await engine.synchronize();
        return performance.now() - begin;
      },
      read: () => result!.out.read("f32"),
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}
