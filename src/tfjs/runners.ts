// Which runner a backend of TensorFlow.js has.
import { UnsupportedError } from "../tensor/errors.ts";
import { hasHeap, HeapRunner } from "./heap.ts";
import { HostRunner } from "./host.ts";
import type { Runner } from "./runner.ts";
import type { TfEngine } from "./tensorflow.ts";

/** Runners of GPU backends, which take a wait to make; by the backend. */
const GPUS = new WeakMap<object, Runner>();

/** Whether a backend keeps its tensors in buffers of a `GPUDevice`. */
const hasDevice = (backend: object): boolean => "device" in backend && "uploadToGPU" in backend;

/** Makes the runner of the backend that is set, where it takes a wait. */
export async function prepareRunner(engine: TfEngine): Promise<void> {
  const { backend } = engine;
  if (!hasDevice(backend) || GPUS.has(backend)) return;
  const { openGpu } = await import("./gpu.ts"); // no code for GPUs where there is none
  GPUS.set(backend, await openGpu(engine, backend));
}

let warned = false;

function warnOnce(): void {
  if (warned) return;
  warned = true;
  console.warn(
    "flashAttention on the webgl backend reads its inputs back to the CPU: " +
      'tf.setBackend("webgpu"), or "wasm", is faster',
  );
}

/** The runner of the backend that is set. */
export function runnerOf(engine: TfEngine): Runner {
  const { backend, backendName } = engine;
  if (hasDevice(backend)) {
    const runner = GPUS.get(backend);
    if (runner) return runner;
    const remedy = "await createFlashAttention(tf) after tf.setBackend, or tf.ready";
    throw new UnsupportedError("a device that was not looked at", backendName, remedy);
  }
  if (hasHeap(backend)) return new HeapRunner(engine, backend);
  if (backendName === "webgl") warnOnce();
  if (backendName === "cpu" || backendName === "webgl") return new HostRunner(engine);
  const remedy = 'tf.setBackend("webgpu"), "wasm" or "cpu"';
  throw new UnsupportedError("flashAttention", backendName, remedy);
}
