/**
 * onnxruntime-web with its WebGPU execution provider. Inputs are GPU buffers, and so is the output.
 * The bundle that carries its own loader is the one that runs in Deno.
 * @module
 */

import { causalMask, swapMiddle } from "../../peers/job.ts";
import { attentionGraph, type GraphName, misfit } from "../../peers/contenders/onnx_graphs.ts";
import { gpuOperands } from "../cases.ts";
import type { PeerJob, PreparedPeer } from "./contender.ts";

const ENTRY = "onnxruntime-web/dist/ort.webgpu.bundle.min.mjs";

/** What is used of the library: its own types need an import that only bench/peers can resolve. */
interface OnnxTensor {
  getData(): Promise<Float32Array>;
  dispose(): void;
}
interface Session {
  run(feeds: Record<string, OnnxTensor>): Promise<{ out: OnnxTensor }>;
}
interface Runtime {
  readonly env: {
    wasm: { numThreads: number };
    webgpu: { device: Promise<GPUDevice> };
    logLevel: string;
  };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly Tensor: { fromGpuBuffer(buffer: GPUBuffer, options: object): OnnxTensor };
}

export async function prepare(job: PeerJob): Promise<PreparedPeer> {
  const c = job.case;
  const name = job.contender.split("/")[1] as GraphName;
  const reason = misfit(name, c, job.causal);
  if (reason) throw new Error(`does not apply: ${reason}`);
  const runtime = await import(new URL(ENTRY, job.modules).href) as Runtime;
  runtime.env.wasm.numThreads = 1;
  runtime.env.logLevel = "error";
  const graph = attentionGraph(name, c, job.causal);
  const session = await runtime.InferenceSession.create(graph.model, {
    executionProviders: ["webgpu"],
    preferredOutputLocation: "gpu-buffer",
    logSeverityLevel: 3,
    // An operator that the provider lacks (Attention-23) would run in WebAssembly unnoticed.
    extra: { session: { disable_cpu_ep_fallback: "1" } },
  });
  const device = await runtime.env.webgpu.device;

  const tensor = (data: Float32Array, dims: readonly number[]) => {
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const size = Math.ceil(data.byteLength / 16) * 16;
    const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
    device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    return runtime.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [...dims] });
  };
  const arrange = (x: Float32Array, heads: number, length: number) =>
    graph.tokensFirst ? swapMiddle(x, [c.batch, heads, length, c.headDim]) : x;
  const data = gpuOperands(c);
  const feeds: Record<string, OnnxTensor> = {
    q: tensor(arrange(data.q, c.queryHeads, c.lengthQ), graph.q),
    k: tensor(arrange(data.k, c.kvHeads, c.lengthK), graph.kv),
    v: tensor(arrange(data.v, c.kvHeads, c.lengthK), graph.kv),
  };
  if (graph.needsMask) feeds.mask = tensor(causalMask(c), [1, 1, c.lengthQ, c.lengthK]);
  return {
    mostCalls: 2048,
    async run(calls) {
      for (let i = 0; i < calls; i++) (await session.run(feeds)).out.dispose();
      await device.queue.onSubmittedWorkDone();
    },
    async output() {
      const { out } = await session.run(feeds);
      const values = await out.getData();
      const shape = [c.batch, c.lengthQ, c.queryHeads, c.headDim];
      return graph.tokensFirst ? swapMiddle(values, shape) : values;
    },
  };
}
