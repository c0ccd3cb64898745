/**
 * The library under test on WebGPU, as a program with tensors on the device uses it: engine,
 * resident operands, and launches recorded into a pass that the bench times.
 * @module
 */

import {
  type AttentionGradients,
  type AttentionOptions,
  type AttentionResult,
  createEngine,
  type Engine,
  type Tensor,
} from "../../mod.ts";
import { type Case, type Operands, shapes } from "../cases.ts";
import type { GpuWork } from "../measure/gpu_clock.ts";
import { reportErrors } from "../measure/gpu_device.ts";
import type { GradientRows, SavedRows } from "../oracle.ts";

type Gradients = AttentionGradients<Tensor, Tensor, Tensor>;

/** An engine whose backend is WebGPU. */
export type GpuEngine = Engine & { readonly device: GPUDevice };

/** Rejects where the library has no WebGPU, or the machine no adapter. */
export async function openEngine(): Promise<GpuEngine> {
  const engine = await createEngine({ backend: "webgpu", allowFallbackAdapter: true });
  if (!engine.device) throw new Error(`createEngine chose ${engine.backend}`);
  reportErrors(engine.device as GPUDevice);
  return engine as GpuEngine;
}

/** One case, resident. Inputs may be stored as f16; arithmetic is f32 all the same. */
export class GpuSubject {
  readonly #engine: GpuEngine;
  readonly #options: AttentionOptions;
  readonly #inputs: Record<keyof Operands, Tensor>;
  #result?: AttentionResult<Tensor>;
  #gradients?: Gradients;
  /** Results of a sample's earlier launches: only the last ones are kept. */
  #stale: Tensor[] = [];

  constructor(
    engine: GpuEngine,
    c: Case,
    data: Operands,
    options: AttentionOptions = {},
    dtype: "f32" | "f16" = "f32",
  ) {
    const { q, kv } = shapes(c);
    const resident = (x: Float32Array, shape: number[]) =>
      engine.tensor(dtype === "f16" ? new Float16Array(x) : x, shape);
    this.#engine = engine;
    this.#options = { ...options, layout: "bhsd" };
    this.#inputs = {
      q: resident(data.q, q),
      k: resident(data.k, kv),
      v: resident(data.v, kv),
      dOut: resident(data.dOut, q),
    };
  }

  forward(name = "flashtile"): GpuWork {
    const { q, k, v } = this.#inputs;
    return {
      name,
      record: (pass) => {
        if (this.#result) this.#stale.push(this.#result.out, this.#result.lse);
        this.#result = this.#engine.encode(pass, q, k, v, this.#options);
      },
      settle: () => this.#settle(),
    };
  }

  /** Gradients of the last forward. */
  backward(name = "backward"): GpuWork {
    const { q, k, v, dOut } = this.#inputs;
    return {
      name,
      record: (pass) => {
        if (!this.#result) throw new Error("backward needs a forward first");
        if (this.#gradients) this.#stale.push(...Object.values(this.#gradients));
        const saved = { q, k, v, ...this.#result };
        this.#gradients = this.#engine.encodeBackward(pass, dOut, saved, this.#options);
      },
      settle: () => this.#settle(),
    };
  }

  /** What the last launches computed. */
  async saved(): Promise<SavedRows> {
    if (!this.#result) throw new Error("nothing was computed");
    const { out, lse } = this.#result;
    return { out: await floats(out), lse: await floats(lse) };
  }

  async gradients(): Promise<GradientRows> {
    if (!this.#gradients) throw new Error("nothing was computed");
    const { dq, dk, dv } = this.#gradients;
    return { dq: await floats(dq), dk: await floats(dk), dv: await floats(dv) };
  }

  dispose(): void {
    this.#settle();
    const results = [...Object.values(this.#result ?? {}), ...Object.values(this.#gradients ?? {})];
    for (const tensor of [...Object.values(this.#inputs), ...results]) tensor.dispose();
    this.#result = undefined;
    this.#gradients = undefined;
  }

  #settle(): void {
    for (const tensor of this.#stale) tensor.dispose();
    this.#stale = [];
  }
}

async function floats(tensor: Tensor): Promise<Float32Array> {
  const values = await tensor.read();
  if (values instanceof Float32Array) return values;
  return Float32Array.from(new Float16Array(values.buffer, values.byteOffset, values.length));
}

/** The operands as they are once stored in 16 bits. */
export function roundedToHalf(data: Operands): Operands {
  const round = (x: Float32Array) => Float32Array.from(new Float16Array(x));
  return { q: round(data.q), k: round(data.k), v: round(data.v), dOut: round(data.dOut) };
}
