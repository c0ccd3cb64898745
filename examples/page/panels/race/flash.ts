// flashtile, on either backend, with tensors that lie where it computes.
import type { AttentionResult, Engine, Tensor } from "@flashtile/attention";
import type { Inputs } from "../../attention/inputs.ts";
import type { Contender, Prepared } from "./contender.ts";

/** An engine as a contender. */
export function flashContender(engine: Engine): Contender {
  const place = engine.backend === "wasm" ? "cpu" : "gpu";
  return {
    id: `flash ${place}`,
    name: `flashtile, ${place.toUpperCase()}`,
    tooLong: () => undefined,
    prepare: (inputs, signal) => prepare(engine, inputs, signal),
  };
}

async function prepare(
  engine: Engine,
  { heads, length, headDim, q, k, v }: Inputs,
  signal: AbortSignal,
): Promise<Prepared> {
  const shape = [1, heads, length, headDim],
    options = { layout: "bhsd" } as const;
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
    return engine.attention(tq!, tk!, tv!, { ...options, signal });
  };
  try {
    for (const data of [q, k, v]) tensors.push(engine.tensor(data, shape));
    result = await call(signal);
    const [tq, tk, tv] = tensors;
    const { memoryBytes } = engine.explain(tq!, tk!, tv!, options);
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
