/**
 * Runs an attention graph in onnxruntime: what the web and the native build share.
 * @module
 */

import type { InferenceSession, InferenceSessionFactory, TensorConstructor } from "onnxruntime-web";
import { operands } from "../../cases.ts";
import { causalMask, isCausal, type Job, type Prepared, swapMiddle } from "../job.ts";
import { attentionGraph, type GraphName, misfit } from "./onnx_graphs.ts";

/** The two names of the runtime's API that are needed. */
export interface OnnxRuntime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
}

export async function prepareSession(
  runtime: OnnxRuntime,
  job: Job,
  options: InferenceSession.SessionOptions,
): Promise<Prepared> {
  const c = job.case;
  const causal = isCausal(job);
  const name = job.contender.split("/")[1] as GraphName;
  const reason = misfit(name, c, causal);
  if (reason) throw new Error(`does not apply: ${reason}`);
  const graph = attentionGraph(name, c, causal);
  const session = await runtime.InferenceSession.create(graph.model, options);
  const data = operands(c);
  const arrange = (x: Float32Array, heads: number, length: number) =>
    graph.tokensFirst ? swapMiddle(x, [c.batch, heads, length, c.headDim]) : x;
  const tensor = (x: Float32Array, shape: readonly number[]) =>
    new runtime.Tensor("float32", x, shape);
  const feeds: Record<string, ReturnType<typeof tensor>> = {
    q: tensor(arrange(data.q, c.queryHeads, c.lengthQ), graph.q),
    k: tensor(arrange(data.k, c.kvHeads, c.lengthK), graph.kv),
    v: tensor(arrange(data.v, c.kvHeads, c.lengthK), graph.kv),
  };
  if (graph.needsMask) feeds.mask = tensor(causalMask(c), [1, 1, c.lengthQ, c.lengthK]);
  let out = new Float32Array();
  return {
    async run() {
      out = (await session.run(feeds)).out.data as Float32Array<ArrayBuffer>;
    },
    outputs() {
      const shape = [c.batch, c.lengthQ, c.queryHeads, c.headDim];
      return { out: graph.tokensFirst ? swapMiddle(out, shape) : out };
    },
  };
}
