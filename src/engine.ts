// Engines: a backend, chosen once with a reason, and the calls that run on it.
import type { AbortSignalLike } from "./abort.ts";
import {
  type Backend,
  type BackendResult,
  callName,
  disposedError,
  type MemoryUse,
} from "./backend.ts";
import type { DType, TensorData } from "./dtype.ts";
import {
  checkEngineOptions,
  type EngineOptions,
  wasmReason,
  wasmSettings,
} from "./engine_options.ts";
import { Complaint, show, UnsupportedError } from "./errors.ts";
import type { Explanation } from "./explain.ts";
import { describeMerge, type MergeOptions } from "./merge.ts";
import { checkDType, count, type View } from "./operand.ts";
import type {
  AttentionBackwardOptions,
  AttentionGradients,
  AttentionOptions,
  AttentionResult,
  SavedForBackward,
} from "./options.ts";
import { type AttentionProblem, describeBackward, describeForward, type Views } from "./problem.ts";
import type { Target } from "./target.ts";
import type { AnyTensor, ResultOf, Tensor } from "./tensor.ts";
import { WasmBackend, type WasmSettings } from "./wasm/backend.ts";

/**
 * A backend with its memory and threads. Most programs never make one: the calls use a default
 * engine. Make one to choose threads or a budget, or to keep tensors resident.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const engine = await createEngine({ backend: "wasm", threads: 1 });
 * const k = engine.tensor(new Float32Array(128 * 64), [1, 128, 1, 64]);
 * const q = engine.tensor(new Float32Array(64), [1, 1, 1, 64]);
 * const { out } = await engine.attention(q, k, k);
 * assert.equal((await out.read()).length, 64);
 * engine.dispose();
 * ```
 */
export class Engine {
  /** The backend that computes; on an engine with a GPU, synchronous calls use WASM. */
  readonly backend: "wasm" | "webgpu";
  /** Why this backend, in words. */
  readonly reason: string;
  /** What the backend can do. */
  readonly target: Target;
  readonly #settings: WasmSettings;
  readonly #gpu: Backend | undefined;
  /** Made when it is first needed: an engine with a GPU may never compile the kernels. */
  #cpu: WasmBackend | undefined;
  #disposed = false;

  /** Use `createEngine`, which finds the GPU. `reason`: why there is one, or why not. */
  constructor(options: EngineOptions = {}, gpu?: Backend, reason?: string) {
    checkEngineOptions(options);
    this.#settings = wasmSettings(options);
    this.#gpu = gpu;
    this.backend = gpu?.name ?? "wasm";
    this.target = gpu?.target ?? this.#wasm.target;
    this.reason = gpu ? reason ?? "WebGPU" : wasmReason(options, this.#wasm.target, reason);
  }

  get #wasm(): WasmBackend {
    return this.#cpu ??= new WasmBackend(this.#settings);
  }

  /** The backends that there are so far. */
  get #backends(): Backend[] {
    return [this.#gpu, this.#cpu].filter((backend) => backend !== undefined);
  }

  /** Bytes of engine memory: in total, in use, and the peak; sums where there are two backends. */
  get memory(): MemoryUse {
    const uses = this.#backends.map(({ memory }) => memory);
    const sum = (key: keyof MemoryUse) => uses.reduce((bytes, use) => bytes + use[key], 0);
    return { total: sum("total"), used: sum("used"), peak: sum("peak") };
  }

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  #alive(action: string): void {
    if (this.#disposed) throw disposedError(action);
  }

  /**
   * A resident tensor, row-major, with a copy of `data`. `dtype` follows from the array but for
   * Uint16Array.
   */
  tensor(data: TensorData, shape: readonly number[], dtype?: DType): Tensor {
    this.#alive("tensor");
    const complaint = new Complaint("tensor");
    const type = checkDType("tensor", { data, dtype }, complaint);
    if (type === "i8") {
      throw new UnsupportedError(`a tensor of dtype "i8"`, this.backend, "use f32, f16 or bf16");
    }
    if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
      throw complaint.range(`shape is ${show(shape)} but must be an array of integers >= 0`);
    }
    if (data.length !== count(shape)) {
      throw complaint.range(
        `data has ${data.length} elements but shape ${show(shape)} needs ${count(shape)}`,
      );
    }
    return (this.#gpu ?? this.#wasm).tensor(data, shape, type);
  }

  /** The backend in which the resident tensors of a call live; undefined when all are host tensors. */
  #owner(views: readonly View[], action: string): Backend | undefined {
    let owner: Backend | undefined;
    for (const { name, tensor, resident } of views) {
      if (!resident) continue;
      const found = this.#backends.find((backend) => backend.owns(tensor as Tensor));
      if (!found || (owner && found !== owner)) {
        throw new TypeError(`Cannot run ${action}: ${name} belongs to another engine`);
      }
      owner = found;
    }
    return owner;
  }

  /** Which backend runs a call: tensors stay where they are. */
  #route(problem: AttentionProblem, views: Views): Backend {
    return this.#owner(Object.values(views), callName(problem)) ?? this.#gpu ?? this.#wasm;
  }

  /** Throws at once what needs no waiting: its callers are async. */
  #run(
    problem: AttentionProblem,
    views: Views,
    signal: AbortSignalLike | undefined,
  ): Promise<readonly BackendResult[]> {
    signal?.throwIfAborted();
    this.#alive(callName(problem));
    return this.#route(problem, views).run(problem, views, { signal });
  }

  /** On the CPU whatever the engine has: nothing on a GPU can be awaited at once. */
  #runSync(problem: AttentionProblem, views: Views): readonly BackendResult[] {
    const action = callName(problem);
    this.#alive(action);
    const owner = this.#owner(Object.values(views), action);
    if (owner && owner === this.#gpu) {
      throw new UnsupportedError(
        `${action}Sync of tensors in GPU memory`,
        "webgpu",
        `use ${action}, or pass host tensors`,
      );
    }
    return this.#wasm.runSync(problem, views);
  }

  /** `attention` on this engine. */
  async attention<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    v: AnyTensor,
    options: AttentionOptions = {},
  ): Promise<AttentionResult<ResultOf<T>>> {
    const { problem, views } = describeForward(q, k, v, options);
    return collect(await this.#run(problem, views, options.signal));
  }

  /** `attentionSync` on this engine. */
  attentionSync<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    v: AnyTensor,
    options: AttentionOptions = {},
  ): AttentionResult<ResultOf<T>> {
    options.signal?.throwIfAborted();
    const { problem, views } = describeForward(q, k, v, options);
    return collect(this.#runSync(problem, views));
  }

  /** `attentionBackward` on this engine. */
  async attentionBackward<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: AttentionBackwardOptions = {},
  ): Promise<AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>>> {
    const { problem, views } = describeBackward(dOut, saved, options);
    return collect(await this.#run(problem, views, options.signal));
  }

  /** `attentionBackwardSync` on this engine. */
  attentionBackwardSync<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: AttentionBackwardOptions = {},
  ): AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>> {
    options.signal?.throwIfAborted();
    const { problem, views } = describeBackward(dOut, saved, options);
    return collect(this.#runSync(problem, views));
  }

  /** `mergeAttention` on this engine. */
  mergeAttention<T extends AnyTensor>(
    parts: readonly { readonly out: T; readonly lse: AnyTensor }[],
    options: MergeOptions = {},
  ): AttentionResult<ResultOf<T>> {
    this.#alive("mergeAttention");
    const merge = describeMerge(parts, options);
    const views = merge.parts.flatMap(({ out, lse }) => [out, lse]);
    const backend = this.#owner(views, "mergeAttention") ?? this.#wasm;
    return collect(backend.merge(merge.parts, merge.shape));
  }

  /** How `attention` with these arguments would run, as data; nothing is computed. */
  explain(q: AnyTensor, k: AnyTensor, v: AnyTensor, options: AttentionOptions = {}): Explanation {
    const { problem, views } = describeForward(q, k, v, options);
    this.#alive("attention");
    return this.#route(problem, views).explain(problem, this.reason);
  }

  /** Resolves when all work given to the engine so far has ended. */
  async synchronize(): Promise<void> {
    await Promise.all(this.#backends.map((backend) => backend.synchronize()));
  }

  /**
   * Stops the threads and lets the GPU go. A call that is under way rejects, and so do later ones;
   * tensors of the engine must not be used any more.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const backend of this.#backends) backend.dispose();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The results of a call by name. */
function collect<R>(results: readonly BackendResult[]): R {
  return Object.fromEntries(results.map(({ name, tensor }) => [name, tensor])) as R;
}

/**
 * Makes an engine. `"auto"` never rejects where WebAssembly SIMD exists; `engine.backend` and
 * `engine.reason` say what was chosen.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 *
 * const engine = await createEngine({ threads: 2 });
 * console.log(engine.backend, engine.reason);
 * engine.dispose();
 * ```
 */
// deno-lint-ignore require-await -- detecting a GPU is asynchronous, so the contract is a promise
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  return new Engine(options);
}

let shared: Engine | undefined;

/** The engine of calls that name none; made at the first of them. */
export function defaultEngine(): Engine {
  if (!shared || shared.disposed) shared = new Engine();
  return shared;
}
