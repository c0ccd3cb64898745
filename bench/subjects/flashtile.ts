/**
 * The library under test as the benches use it: one case, an engine, and calls that can be timed.
 * Only the public API, as a user would write it.
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
import { type Case, type Operands, operands, shapes } from "../cases.ts";

export type { AttentionOptions, Engine } from "../../mod.ts";

/** A WASM engine with that many threads. */
export async function wasmEngine(threads: number): Promise<Engine> {
  return await createEngine({ backend: "wasm", threads });
}

/** One case on one engine, ready to be called again and again. */
export interface Subject {
  forward(): Promise<void>;
  /** Gradients of the last forward. */
  backward(): Promise<void>;
  dispose(): void;
}

/** Operands in the caller's memory: a call includes copying them in and its results out. */
export class HostSubject implements Subject {
  readonly #q: HostTensor;
  readonly #k: HostTensor;
  readonly #v: HostTensor;
  readonly #dOut: HostTensor;
  readonly #options: AttentionOptions;
  /** Results of the last calls. */
  result?: AttentionResult<HostTensor>;
  gradients?: AttentionGradients<HostTensor>;

  constructor(engine: Engine, c: Case, options: AttentionOptions = {}, data?: Operands) {
    const { q, k, v, dOut } = data ?? operands(c);
    const shape = shapes(c);
    this.#q = { data: q, shape: shape.q };
    this.#k = { data: k, shape: shape.kv };
    this.#v = { data: v, shape: shape.kv };
    this.#dOut = { data: dOut, shape: shape.q };
    this.#options = { ...options, layout: "bhsd", engine };
  }

  async forward(): Promise<void> {
    this.result = await attention(this.#q, this.#k, this.#v, this.#options);
  }

  /** The same on the calling thread, without a promise: what a short call should cost. */
  forwardSync(): void {
    this.result = attentionSync(this.#q, this.#k, this.#v, this.#options);
  }

  async backward(): Promise<void> {
    if (!this.result) throw new Error("backward needs a forward first");
    const saved = { q: this.#q, k: this.#k, v: this.#v, ...this.result };
    this.gradients = await attentionBackward(this.#dOut, saved, this.#options);
  }

  dispose(): void {}
}

/** Operands in the engine's memory: nothing is copied, only the kernel is timed. */
export class ResidentSubject implements Subject {
  readonly #engine: Engine;
  readonly #q: Tensor;
  readonly #k: Tensor;
  readonly #v: Tensor;
  readonly #dOut: Tensor;
  readonly #options: AttentionOptions;
  #result?: AttentionResult<Tensor>;

  constructor(engine: Engine, c: Case, options: AttentionOptions = {}, data?: Operands) {
    const { q, k, v, dOut } = data ?? operands(c);
    const shape = shapes(c);
    this.#engine = engine;
    this.#q = engine.tensor(q, shape.q);
    this.#k = engine.tensor(k, shape.kv);
    this.#v = engine.tensor(v, shape.kv);
    this.#dOut = engine.tensor(dOut, shape.q);
    this.#options = { ...options, layout: "bhsd", engine };
  }

  async forward(): Promise<void> {
    this.#freeResult();
    this.#result = await attention(this.#q, this.#k, this.#v, this.#options);
    await this.#engine.synchronize();
  }

  /** The same on the calling thread, without a promise. */
  forwardSync(): void {
    this.#freeResult();
    this.#result = attentionSync(this.#q, this.#k, this.#v, this.#options);
  }

  async backward(): Promise<void> {
    if (!this.#result) throw new Error("backward needs a forward first");
    const saved = { q: this.#q, k: this.#k, v: this.#v, ...this.#result };
    const gradients = await attentionBackward(this.#dOut, saved, this.#options);
    await this.#engine.synchronize();
    for (const tensor of [gradients.dq, gradients.dk, gradients.dv]) tensor.dispose();
  }

  /** The output of the last forward, copied to the host. */
  async output(): Promise<Float32Array> {
    return await this.#result?.out.read() as Float32Array;
  }

  dispose(): void {
    this.#freeResult();
    for (const tensor of [this.#q, this.#k, this.#v, this.#dOut]) tensor.dispose();
  }

  #freeResult(): void {
    this.#result?.out.dispose();
    this.#result?.lse.dispose();
    this.#result = undefined;
  }
}
