/**
 * onnxruntime: `onnxruntime-web` on its WebAssembly or WebGPU execution provider, and
 * `onnxruntime-node`, which is native code with AVX-512: not a WebAssembly library, so not a rival,
 * but the mark that shows what the same processor does without WebAssembly.
 * @module
 */

import { createRequire } from "node:module";
import { operands } from "../cases.ts";
import { storage } from "../measure/gpu_device.ts";
import { causalMask, isCausal, type Job, type Prepared, swapMiddle } from "../process/job.ts";
import { type GraphName, GRAPHS, misfit } from "./onnx_graphs.ts";

/**
 * By path: the Node entry is the one whose threads work in Deno, where `onnxruntime-web/wasm` fails
 * on its blob worker; for WebGPU it is the bundle that carries its own loader.
 */
const ENTRY = {
  wasm: "onnxruntime-web/dist/ort.node.min.mjs",
  webgpu: "onnxruntime-web/dist/ort.webgpu.bundle.min.mjs",
};

/** What is used of the library: its own types need an import that only bench/peers can resolve. */
interface OnnxTensor {
  readonly data: Float32Array;
  getData(): Promise<Float32Array>;
  dispose(): void;
}
interface Runtime {
  readonly env: {
    logLevel: string;
    readonly wasm: { numThreads: number };
    readonly webgpu: { readonly device: Promise<GPUDevice> };
  };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{
      run(feeds: Readonly<Record<string, OnnxTensor>>): Promise<{ out: OnnxTensor }>;
    }>;
  };
  readonly Tensor: {
    new (type: "float32", data: Float32Array, shape: readonly number[]): OnnxTensor;
    fromGpuBuffer(buffer: GPUBuffer, options: object): OnnxTensor;
  };
}

export async function prepare(job: Job): Promise<Prepared> {
  const c = job.case, causal = isCausal(job), onDevice = job.backend === "webgpu";
  const [library, name] = job.contender.split("/") as [string, GraphName];
  const reason = misfit(name, c, causal);
  if (reason) throw new Error(`does not apply: ${reason}`);
  const { runtime, options } = await load(job, library);
  const graph = GRAPHS[name](c, causal);
  const session = await runtime.InferenceSession.create(graph.model, options);
  const device = onDevice ? await runtime.env.webgpu.device : undefined;

  const tensor = (data: Float32Array, dims: readonly number[]) => {
    if (!device) return new runtime.Tensor("float32", data, dims);
    const buffer = storage(device, Math.ceil(data.byteLength / 16) * 16);
    device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    return runtime.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [...dims] });
  };
  const arrange = (x: Float32Array, heads: number, length: number) =>
    graph.tokensFirst ? swapMiddle(x, [c.batch, heads, length, c.headDim]) : x;
  const back = (x: Float32Array) =>
    graph.tokensFirst ? swapMiddle(x, [c.batch, c.lengthQ, c.queryHeads, c.headDim]) : x;
  const data = operands(c);
  const feeds: Record<string, OnnxTensor> = {
    q: tensor(arrange(data.q, c.queryHeads, c.lengthQ), graph.q),
    k: tensor(arrange(data.k, c.kvHeads, c.lengthK), graph.kv),
    v: tensor(arrange(data.v, c.kvHeads, c.lengthK), graph.kv),
  };
  if (graph.needsMask) feeds.mask = tensor(causalMask(c), [1, 1, c.lengthQ, c.lengthK]);
  if (device) {
    return {
      mostCalls: 2048,
      run: async () => (await session.run(feeds)).out.dispose(),
      finish: () => device.queue.onSubmittedWorkDone() as Promise<void>,
      outputs: async () => ({ out: back(await (await session.run(feeds)).out.getData()) }),
    };
  }
  let out = new Float32Array();
  return {
    async run() {
      out = (await session.run(feeds)).out.data as Float32Array<ArrayBuffer>;
    },
    outputs: () => ({ out: back(out) }),
  };
}

async function load(
  { backend, modules, threads }: Job,
  library: string,
): Promise<{ runtime: Runtime; options: object }> {
  if (library === "onnxruntime-node") {
    const runtime = createRequire(new URL(`${library}/`, modules))(library) as Runtime;
    const counts = { intraOpNumThreads: threads, interOpNumThreads: 1 };
    return { runtime, options: { executionProviders: ["cpu"], ...counts, logSeverityLevel: 3 } };
  }
  const runtime = await import(new URL(ENTRY[backend], modules).href) as Runtime;
  runtime.env.wasm.numThreads = threads;
  runtime.env.logLevel = "error";
  // An operator that the provider lacks (Attention-23) would run in WebAssembly unnoticed.
  const refuse = { extra: { session: { disable_cpu_ep_fallback: "1" } } };
  const onDevice = { preferredOutputLocation: "gpu-buffer", ...refuse };
  const options = { executionProviders: [backend], logSeverityLevel: 3 };
  return { runtime, options: backend === "wasm" ? options : { ...options, ...onDevice } };
}
