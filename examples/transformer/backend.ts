/** The backends of TensorFlow.js, and what they hold. */
import * as tf from "@tensorflow/tfjs";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { formatBytes } from "../byte_lm/progress.ts";
import { defaultEngine } from "../../src/engine/create_engine.ts"; // the engine that the op calls

export type BackendName = "wasm" | "cpu";

/** Sets a backend. The wasm one runs on this thread alone: Deno gives it no workers of the kind that it knows. */
export async function openBackend(name: BackendName): Promise<void> {
  // its file lies beside its code, wherever Deno keeps that
  setWasmPaths(new URL("./", import.meta.resolve("@tensorflow/tfjs-backend-wasm")).pathname);
  if (!await tf.setBackend(name)) throw new Error(`Cannot start the backend ${name}`);
  if (name === "wasm") shareClones();
}

/**
 * Makes clones share the values of their tensor, as they do on all backends but the wasm one, where they are copies: what ops
 * keep for their gradients are clones.
 */
function shareClones(): void {
  const backendName = "wasm", kernelName = tf.Identity;
  tf.unregisterKernel(kernelName, backendName);
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, backend }) => {
      const { dataId, shape, dtype } = inputs["x"]!;
      (backend as tf.KernelBackend).incRef(dataId);
      return { dataId, shape, dtype };
    },
  });
}

/** Bytes of memory that do not shrink: so they are the most that was needed so far. */
export interface Held {
  /** The heap of TensorFlow.js; on the cpu backend the tensors that there are now. */
  tensors: number;
  /** Memory of this library's engine. */
  engine: number;
}

export function bytesHeld(): Held {
  const { wasm } = tf.backend() as { wasm?: { HEAPU8: Uint8Array } };
  const tensors = wasm ? wasm.HEAPU8.byteLength : tf.memory().numBytes;
  return { tensors, engine: defaultEngine().memory.total };
}

/** A line to stderr. */
export function sayMemory(): void {
  const { tensors, engine } = bytesHeld();
  console.error(
    `memory   ${formatBytes(tensors)} of TensorFlow.js, ${formatBytes(engine)} of this library, ` +
      `${formatBytes(Deno.memoryUsage().rss)} the whole process`,
  );
}
