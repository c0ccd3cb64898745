// Which runner a backend of TensorFlow.js has.
import type { Engine } from "../engine/engine.ts";
import { UnsupportedError } from "../tensor/errors.ts";
import { hasHeap, HeapRunner } from "./heap.ts";
import { HostRunner } from "./host.ts";
import type { Runner } from "./runner.ts";
import type { TfEngine } from "./tensorflow.ts";

/** Runners of GPU backends, which take a wait to make; by the engine that computes there, or by the backend. */
const GPUS = new WeakMap<object, WeakMap<object, Runner>>();

/** Whether a backend keeps its tensors in buffers of a `GPUDevice`. */
const hasDevice = (backend: object): boolean => "device" in backend && "uploadToGPU" in backend;

/** Makes the runner of the backend that is set, where it takes a wait; `own` is an engine of the caller's. */
export async function prepareRunner(
  engine: TfEngine,
  own: Engine | undefined,
  action: string,
): Promise<void> {
  const { backend } = engine;
  if (!hasDevice(backend)) return;
  const made = GPUS.get(backend) ?? new WeakMap<object, Runner>();
  GPUS.set(backend, made);
  if (made.has(own ?? backend)) return;
  const { openGpu, openOn } = await import("./gpu.ts"); // no code for GPUs where there is none
  const runner = own ? openOn(engine, backend, own, action) : await openGpu(engine, backend);
  made.set(own ?? backend, runner);
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
export function runnerOf(engine: TfEngine, own: Engine | undefined): Runner {
  const { backend, backendName } = engine;
  if (hasDevice(backend)) {
    const runner = GPUS.get(backend)?.get(own ?? backend);
    if (runner) return runner;
    const remedy = "await createFlashAttention(tf) after tf.setBackend, or tf.ready";
    throw new UnsupportedError("a device that was not looked at", backendName, remedy);
  }
  if (hasHeap(backend)) return new HeapRunner(engine, backend, own);
  if (backendName === "webgl") warnOnce();
  if (backendName === "cpu" || backendName === "webgl") return new HostRunner(engine, own);
  const remedy = 'tf.setBackend("webgpu"), "wasm" or "cpu"';
  throw new UnsupportedError("flashAttention", backendName, remedy);
}
