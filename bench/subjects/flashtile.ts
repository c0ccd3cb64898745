/**
 * The library under test on either backend: one case, an engine, and calls that can be timed. Only
 * the public API, as a user would write it.
 * @module
 */

import {
  attention,
  attentionBackward,
  type AttentionGradients,
  type AttentionOptions,
  type AttentionResult,
  attentionSync,
  createEngine,
  type Engine,
  type HostTensor,
  type Tensor,
} from "../../mod.ts";
import { type Case, type Operands, roundedToHalf, shapes } from "../cases.ts";
import type { Context } from "../context.ts";
import { reportErrors } from "../measure/gpu_device.ts";
import type { Entrant, Work } from "../measure/race.ts";
import { gradientError, type GradientRows, outputError, type SavedRows } from "../oracle.ts";

export type { AttentionOptions, Engine } from "../../mod.ts";

/** f32 attention of unit normals errs by 1e-6; an f16 result is rounded to eleven bits. */
const TOLERANCE = { f32: 1e-5, f16: 4e-3 };
/** Of the largest gradient: its terms are sums over the whole length. */
const GRADIENT_TOLERANCE = 5e-5;

/** How operands are stored; arithmetic is f32 all the same. */
export type Storage = keyof typeof TOLERANCE;

/** A WASM engine with that many threads. */
export async function wasmEngine(threads: number): Promise<Engine> {
  return await createEngine({ backend: "wasm", threads });
}

/** Rejects where the library has no WebGPU, or the machine no adapter. */
export async function webgpuEngine(): Promise<Engine & { readonly device: GPUDevice }> {
  const engine = await createEngine({ backend: "webgpu", allowFallbackAdapter: true });
  if (!engine.device) throw new Error(`createEngine chose ${engine.backend}`);
  reportErrors(engine.device as GPUDevice);
  return engine as Engine & { readonly device: GPUDevice };
}

/** What a case on an engine offers, wherever its operands are. */
interface Subject {
  forward(): Promise<void>;
  /** Gradients of the last forward. */
  backward(): Promise<void>;
  /** What the last calls computed. */
  saved(): Promise<SavedRows>;
  gradients(): Promise<GradientRows>;
  dispose(): void;
}

/** Operands in the caller's memory: a call includes copying them in and its results out. */
export class Host implements Subject {
  readonly #inputs: Readonly<Record<keyof Operands, HostTensor>>;
  readonly #options: AttentionOptions;
  #result?: AttentionResult<HostTensor>;
  #gradients?: AttentionGradients<HostTensor>;

  constructor(engine: Engine, c: Case, data: Operands, options: AttentionOptions = {}) {
    const { q, kv } = shapes(c);
    const tensor = (data: Float32Array, shape: number[]): HostTensor => ({ data, shape });
    this.#inputs = {
      q: tensor(data.q, q),
      k: tensor(data.k, kv),
      v: tensor(data.v, kv),
      dOut: tensor(data.dOut, q),
    };
    this.#options = { ...options, layout: "bhsd", engine };
  }

  async forward(): Promise<void> {
    const { q, k, v } = this.#inputs;
    this.#result = await attention(q, k, v, this.#options);
  }

  /** The same on the calling thread, without a promise: what a short call should cost. */
  forwardSync(): void {
    const { q, k, v } = this.#inputs;
    this.#result = attentionSync(q, k, v, this.#options);
  }

  async backward(): Promise<void> {
    const { q, k, v, dOut } = this.#inputs, result = present(this.#result);
    this.#gradients = await attentionBackward(dOut, { q, k, v, ...result }, this.#options);
  }

  saved(): Promise<SavedRows> {
    const { out, lse } = present(this.#result);
    return Promise.resolve({ out: out.data as Float32Array, lse: lse.data as Float32Array });
  }

  gradients(): Promise<GradientRows> {
    const { dq, dk, dv } = present(this.#gradients);
    const floats = ({ data }: HostTensor) => data as Float32Array;
    return Promise.resolve({ dq: floats(dq), dk: floats(dk), dv: floats(dv) });
  }

  dispose(): void {}
}

/**
 * Operands in the engine's memory: nothing is copied, only the kernel is timed. Calls are whole ones,
 * or launches recorded into a pass of a GPU, of which only the last results are kept.
 */
export class Resident implements Subject {
  readonly #engine: Engine;
  readonly #options: AttentionOptions;
  readonly #inputs: Readonly<Record<keyof Operands, Tensor>>;
  #result?: AttentionResult<Tensor>;
  #gradients?: AttentionGradients<Tensor, Tensor, Tensor>;
  #stale: Tensor[] = [];

  constructor(
    engine: Engine,
    c: Case,
    data: Operands,
    options: AttentionOptions = {},
    dtype: Storage = "f32",
  ) {
    const { q, kv } = shapes(c);
    const tensor = (x: Float32Array, shape: number[]) =>
      engine.tensor(dtype === "f16" ? new Float16Array(x) : x, shape);
    this.#engine = engine;
    this.#options = { ...options, layout: "bhsd", engine };
    this.#inputs = {
      q: tensor(data.q, q),
      k: tensor(data.k, kv),
      v: tensor(data.v, kv),
      dOut: tensor(data.dOut, q),
    };
  }

  async forward(): Promise<void> {
    const { q, k, v } = this.#inputs;
    this.#retire("forward");
    this.settle();
    this.#result = await attention(q, k, v, this.#options);
    await this.#engine.synchronize();
  }

  /** The same on the calling thread, without a promise. */
  forwardSync(): void {
    const { q, k, v } = this.#inputs;
    this.#retire("forward");
    this.settle();
    this.#result = attentionSync(q, k, v, this.#options);
  }

  async backward(): Promise<void> {
    const { q, k, v, dOut } = this.#inputs, result = present(this.#result);
    this.#retire("backward");
    this.settle();
    this.#gradients = await attentionBackward(dOut, { q, k, v, ...result }, this.#options);
    await this.#engine.synchronize();
  }

  /** A launch of the forward kernels, in somebody's pass. */
  recordForward(pass: GPUComputePassEncoder): void {
    const { q, k, v } = this.#inputs, { engine: _, ...options } = this.#options;
    this.#retire("forward");
    this.#result = this.#engine.encode(pass, q, k, v, options);
  }

  recordBackward(pass: GPUComputePassEncoder): void {
    const { q, k, v, dOut } = this.#inputs, { engine: _, ...options } = this.#options;
    const saved = { q, k, v, ...present(this.#result) };
    this.#retire("backward");
    this.#gradients = this.#engine.encodeBackward(pass, dOut, saved, options);
  }

  /** Frees the results of earlier launches, once the pass is submitted. */
  settle(): void {
    for (const tensor of this.#stale) tensor.dispose();
    this.#stale = [];
  }

  /** A pass as something to time, by whichever clock the backend has. */
  work(pass: "forward" | "backward", name: string = pass): Work {
    return {
      name,
      run: () => this[pass](),
      record: (encoder) =>
        pass === "forward" ? this.recordForward(encoder) : this.recordBackward(encoder),
      settle: () => this.settle(),
    };
  }

  async saved(): Promise<SavedRows> {
    const { out, lse } = present(this.#result);
    return { out: await floats(out), lse: await floats(lse) };
  }

  async gradients(): Promise<GradientRows> {
    const { dq, dk, dv } = present(this.#gradients);
    return { dq: await floats(dq), dk: await floats(dk), dv: await floats(dv) };
  }

  dispose(): void {
    this.#retire("forward");
    this.#retire("backward");
    this.settle();
    for (const tensor of Object.values(this.#inputs)) tensor.dispose();
  }

  /** The results of a pass are not wanted any more, but a launch under way may need them. */
  #retire(pass: "forward" | "backward"): void {
    if (pass === "forward") {
      if (this.#result) this.#stale.push(this.#result.out, this.#result.lse);
      this.#result = undefined;
    } else {
      if (this.#gradients) this.#stale.push(...Object.values(this.#gradients));
      this.#gradients = undefined;
    }
  }
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("nothing was computed");
  return value;
}

async function floats(tensor: Tensor): Promise<Float32Array> {
  const values = await tensor.read();
  if (values instanceof Float32Array) return values;
  return Float32Array.from(new Float16Array(values.buffer, values.byteOffset, values.length));
}

/** A forward call on resident tensors. */
export function residentForward(
  context: Context,
  c: Case,
  data: Operands,
  options: { readonly causal?: boolean; readonly threads?: number; readonly dtype?: Storage } = {},
): Entrant {
  const { causal = false, threads = 1, dtype = "f32" } = options;
  const name = context.backend === "wasm" ? "resident" : "flashtile";
  return {
    name,
    tolerance: TOLERANCE[dtype],
    async create() {
      const stored = dtype === "f16" ? roundedToHalf(data) : data;
      const engine = await context.engine(threads);
      const subject = new Resident(engine, c, stored, { causal }, dtype);
      return {
        work: subject.work("forward", name),
        error: async () => outputError(c, stored, causal, (await subject.saved()).out),
        dispose: () => subject.dispose(),
      };
    },
  };
}

/** The same from and to host tensors. */
export function hostForward(
  context: Context,
  c: Case,
  data: Operands,
  { causal = false, threads = 1 }: { readonly causal?: boolean; readonly threads?: number } = {},
): Entrant {
  return {
    name: "host",
    tolerance: TOLERANCE.f32,
    async create() {
      const subject = new Host(await context.engine(threads), c, data, { causal });
      return {
        work: { name: "host", run: () => subject.forward() },
        error: async () => outputError(c, data, causal, (await subject.saved()).out),
      };
    },
  };
}

/** Both passes of one resident case: the backward belongs to its last forward. */
export function bothPasses(context: Context, c: Case, data: Operands, causal: boolean): Entrant[] {
  let made: Promise<Resident> | undefined;
  const subject = () =>
    made ??= context.engine().then((engine) => new Resident(engine, c, data, { causal }));
  return [
    {
      name: "forward",
      tolerance: TOLERANCE.f32,
      async create() {
        const one = await subject();
        const error = async () => outputError(c, data, causal, (await one.saved()).out);
        return { work: one.work("forward"), error };
      },
    },
    {
      name: "backward",
      tolerance: GRADIENT_TOLERANCE,
      async create() {
        const one = await subject();
        const error = async () =>
          gradientError(c, data, causal, await one.saved(), await one.gradients());
        return { work: one.work("backward"), error, dispose: () => one.dispose() };
      },
    },
  ];
}
