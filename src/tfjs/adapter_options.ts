// Options of what is made for an instance of TensorFlow.js.
import type { Engine } from "../engine/engine.ts";
import { checkEngine } from "../engine/engine_of.ts";
import { Complaint, show } from "../tensor/errors.ts";

/** Options of `createFlashAttention` and `createMultiHeadAttention`. */
export interface AdapterOptions {
  /**
   * The engine that computes, with its memory budget: it stays the caller's, who disposes of it when nothing calls the op any
   * more. On the WebGPU backend it must be on the device of TensorFlow.js. Default: an engine that calls share, and on WebGPU
   * one for each device.
   */
  readonly engine?: Engine | undefined;
}

/** The engine among options; throws where they are wrong. */
export function checkAdapterOptions(options: unknown, action: string): Engine | undefined {
  const complaint = new Complaint(action);
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be an object`);
  }
  const unknown = Object.keys(options).find((name) => name !== "engine");
  if (unknown !== undefined) {
    throw complaint.type(`options has the unknown name ${show(unknown)}, wanted engine`);
  }
  const { engine } = options as { engine?: unknown };
  return engine === undefined ? undefined : checkEngine(engine, complaint);
}
