/**
 * The library under test on either backend: one case, an engine, and calls that can be timed. Only
 * the public API, as a user would write it.
 * @module
 */

import {
  type AttentionOptions,
  createEngine,
  type Engine,
  type EngineOptions,
  type HostTensor,
  type Tensor,
} from "../../mod.ts";
import { type Call, type Operands, roundedToHalf, shapes } from "../cases.ts";
import type { Context } from "../context.ts";
import { reportErrors } from "../measure/gpu_device.ts";
import type { Entrant, Work } from "../measure/race.ts";
import { gradientError, outputError } from "../oracle.ts";

export type { AttentionOptions, Engine } from "../../mod.ts";

/**
 * Where operands are: in the caller's memory, so that a call includes copying them in and its results
 * out, or in the engine's, stored as f32 or f16, so that only the kernel is timed. Arithmetic is f32.
 */
export type Place = "host" | "f32" | "f16";
type Pass = "forward" | "backward";

/** f32 attention of unit normals errs by 1e-6; an f16 result is rounded to eleven bits. */
const TOLERANCE = { host: 1e-5, f32: 1e-5, f16: 4e-3 };
/** Of the largest gradient: its terms are sums over the whole length. */
export const GRADIENT_TOLERANCE = 5e-5;
const RESULTS = { forward: ["out", "lse"], backward: ["dq", "dk", "dv"] } as const;
type Results = { readonly [name in typeof RESULTS[Pass][number]]?: Tensor | HostTensor };

export const wasmEngine = (threads: number, options: EngineOptions = {}): Promise<Engine> =>
  createEngine({ backend: "wasm", threads, ...options });

/** Rejects where the library has no WebGPU, or the machine no adapter. */
export async function webgpuEngine(): Promise<Engine & { readonly device: GPUDevice }> {
  const engine = await createEngine({ backend: "webgpu", allowFallbackAdapter: true });
  if (!engine.device) throw new Error(`createEngine chose ${engine.backend}`);
  reportErrors(engine.device as GPUDevice);
  return engine as Engine & { readonly device: GPUDevice };
}

/** One case on one engine, ready to be called again and again: whole calls, or launches in a pass. */
export class Subject {
  readonly #engine: Engine;
  readonly #options: AttentionOptions;
  readonly #resident: boolean;
  readonly #inputs: Readonly<Record<keyof Operands, Tensor | HostTensor>>;
  /** Of the last call of each pass. */
  readonly #results: { [of in Pass]?: Results } = {};
  /** Results of earlier launches, which live until their pass is submitted. */
  #stale: (Tensor | HostTensor)[] = [];

  constructor(
    engine: Engine,
    { c, data, causal }: Call,
    options: AttentionOptions = {},
    place: Place = "f32",
  ) {
    const { q, kv } = shapes(c);
    const tensor = (x: Float32Array, shape: number[]) => {
      if (place === "host") return { data: x, shape };
      return engine.tensor(place === "f16" ? new Float16Array(x) : x, shape);
    };
    this.#engine = engine;
    this.#options = { causal, ...options, layout: "bhsd" };
    this.#resident = place !== "host";
    this.#inputs = {
      ...{ q: tensor(data.q, q), dOut: tensor(data.dOut, q) },
      ...{ k: tensor(data.k, kv), v: tensor(data.v, kv) },
    };
  }

  /** `wait`: until the device is done, where results stay on it. */
  async forward(wait: boolean = this.#resident): Promise<void> {
    const { q, k, v } = this.#inputs;
    this.#retire("forward");
    this.settle();
    this.#results.forward = await this.#engine.attention(q, k, v, this.#options);
    if (wait) await this.#engine.synchronize();
  }

  /** The same on the calling thread, without a promise: what a short call should cost. */
  forwardSync(): void {
    const { q, k, v } = this.#inputs;
    this.#retire("forward");
    this.settle();
    this.#results.forward = this.#engine.attentionSync(q, k, v, this.#options);
  }

  /** Gradients of the last forward. */
  async backward(): Promise<void> {
    this.#retire("backward");
    this.settle();
    const { dOut, ...saved } = this.#saved();
    this.#results.backward = await this.#engine.attentionBackward(dOut, saved, this.#options);
    if (this.#resident) await this.#engine.synchronize();
  }

  /** A launch of a pass's kernels, in somebody's compute pass. */
  record(pass: Pass, into: GPUComputePassEncoder): void {
    const { q, k, v } = this.#inputs;
    this.#retire(pass);
    if (pass === "forward") {
      this.#results.forward = this.#engine.encode(into, q, k, v, this.#options);
    } else {
      const { dOut, ...saved } = this.#saved();
      this.#results.backward = this.#engine.encodeBackward(into, dOut, saved, this.#options);
    }
  }

  /** A pass as something to time, by whichever clock the backend has. */
  work(pass: Pass, name: string = pass): Work {
    const record = (into: GPUComputePassEncoder) => this.record(pass, into);
    return { name, run: () => this[pass](), record, settle: () => this.settle() };
  }

  /** What the last calls computed: out and lse, or the gradients. */
  async results<P extends Pass>(pass: P): Promise<Record<typeof RESULTS[P][number], Float32Array>> {
    const last = this.#last(pass);
    const read = async (name: string) => [name, await floats(last[name]!)] as const;
    return Object.fromEntries(await Promise.all(RESULTS[pass].map(read))) as never;
  }

  /** Frees the results of earlier launches, once their pass is submitted. */
  settle(): void {
    for (const tensor of this.#stale) if ("dispose" in tensor) tensor.dispose();
    this.#stale = [];
  }

  dispose(): void {
    this.#retire("forward");
    this.#retire("backward");
    this.#stale.push(...Object.values(this.#inputs));
    this.settle();
  }

  #saved() {
    const { out, lse } = this.#last("forward");
    return { ...this.#inputs, out: out!, lse: lse! };
  }

  #last(pass: Pass): Record<string, Tensor | HostTensor> {
    const results = this.#results[pass];
    if (!results) throw new Error(`no call has computed a ${pass}`);
    return results as Record<string, Tensor | HostTensor>;
  }

  /** The results of a pass are not wanted any more, but a launch under way may need them. */
  #retire(pass: Pass): void {
    for (const last of Object.values(this.#results[pass] ?? {})) if (last) this.#stale.push(last);
    delete this.#results[pass];
  }
}

/** The values of a tensor as f32. */
export async function floats(tensor: Tensor | HostTensor): Promise<Float32Array> {
  const values = "read" in tensor ? await tensor.read() : tensor.data;
  if (values instanceof Float32Array) return values;
  return Float32Array.from(new Float16Array(values.buffer, values.byteOffset, values.length));
}

/** Passes of one subject as entrants; a backward belongs to its last forward. */
function entrants(
  call: Call,
  subject: () => Promise<Subject>,
  passes: readonly { readonly pass: Pass; readonly name?: string; readonly tolerance: number }[],
): Entrant[] {
  let made: Promise<Subject> | undefined;
  let saved: Promise<Record<"out" | "lse", Float32Array>> | undefined; // long rows take a while
  return passes.map(({ pass, name = pass, tolerance }, n) => {
    const create = async () => {
      const one = await (made ??= subject()), last = n === passes.length - 1;
      const error = async () => {
        const found = await (saved ??= one.results("forward"));
        if (pass === "forward") return outputError(call, found.out);
        return gradientError(call, found, await one.results("backward"));
      };
      return { work: one.work(pass, name), error, dispose: () => last && one.dispose() };
    };
    return { name, tolerance, create };
  });
}

/** A forward call; on the CPU it is named by where its operands are. */
export function forwardEntrant(
  context: Context,
  call: Call,
  { threads = 1, place = "f32" }: { readonly threads?: number; readonly place?: Place } = {},
): Entrant {
  const name = context.gpu ? "flashtile" : place === "host" ? "host" : "resident";
  const stored = place === "f16" ? { ...call, data: roundedToHalf(call.data) } : call;
  const subject = async () => new Subject(await context.engine(threads), stored, {}, place);
  return entrants(stored, subject, [{ pass: "forward", name, tolerance: TOLERANCE[place] }])[0]!;
}

/** Both passes of one resident case. */
export function bothPasses(context: Context, call: Call): Entrant[] {
  return entrants(call, async () => new Subject(await context.engine(), call), [
    { pass: "forward", tolerance: TOLERANCE.f32 },
    { pass: "backward", tolerance: GRADIENT_TOLERANCE },
  ]);
}
