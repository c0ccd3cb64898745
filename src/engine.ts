// Engines: a backend, chosen once with a reason, and the calls that run on it.
import type { AbortSignalLike } from "./abort.ts";
import type { DType, TensorData } from "./dtype.ts";
import { checkEngineOptions, defaultThreads, type EngineOptions } from "./engine_options.ts";
import { Complaint, show, UnsupportedError } from "./errors.ts";
import { explainPlan, type Explanation } from "./explain.ts";
import { describeMerge, type MergeOptions } from "./merge.ts";
import { checkDType, count, type View } from "./operand.ts";
import type {
  AttentionBackwardOptions,
  AttentionGradients,
  AttentionOptions,
  AttentionResult,
  SavedForBackward,
} from "./options.ts";
import { type Plan, planAttention } from "./plan/plan.ts";
import { type AttentionProblem, describeBackward, describeForward, type Views } from "./problem.ts";
import type { Target } from "./target.ts";
import type { AnyTensor, ResultOf, Tensor } from "./tensor.ts";
import { type Pause, WasmBackend } from "./wasm/backend.ts";
import type { MemoryUse } from "./wasm/memory.ts";
import { canShare, detectSimd } from "./wasm/module.ts";
import { elements, type ResultView } from "./wasm/results.ts";
import { WasmTensor } from "./wasm/tensors.ts";
import { canThread } from "./wasm/threads.ts";

/** A turn of the event loop, without the 1 to 4 ms of setTimeout where there is something better. */
function turn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => unknown };
  return new Promise((resolve) => {
    if (setImmediate) setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}

/** Milliseconds of computing after which an asynchronous call lets the event loop turn. */
const TURN_MS = 24;

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
  /** The backend that computes. */
  readonly backend: "wasm" = "wasm";
  /** Why this backend, in words. */
  readonly reason: string;
  /** What the backend can do. */
  readonly target: Target;
  readonly #wasm: WasmBackend;
  #tail: Promise<unknown> = Promise.resolve();
  #disposed = false;
  /** Whether an asynchronous call is under way: its threads must not be stopped under it. */
  #running = false;

  /** Use `createEngine`. */
  constructor(options: EngineOptions = {}) {
    checkEngineOptions(options);
    const found = detectSimd();
    const level = options.simd === "plain" ? "plain" : found;
    if (options.simd === "relaxed" && found === "plain") {
      throw new UnsupportedError("relaxed SIMD", "wasm", `leave simd out or pass "plain"`);
    }
    const wanted = options.threads ?? defaultThreads();
    // a module that was compiled elsewhere imports unshared memory
    const possible = options.wasmModule === undefined && canShare() && canThread();
    const threads = possible ? wanted : 1;
    this.#wasm = new WasmBackend({
      level,
      threads,
      shared: threads > 1,
      memoryBudget: options.memoryBudget ?? 2 ** 32,
      module: options.wasmModule as WebAssembly.Module | undefined,
    });
    this.target = this.#wasm.target;
    const simd = this.target.relaxedSimd ? "relaxed SIMD" : "plain SIMD";
    const why = options.backend === "wasm" ? "asked for" : "WebGPU is not in this version";
    const cause = options.wasmModule
      ? "wasmModule was given"
      : "this host cannot share memory with workers";
    const alone = threads === 1 && wanted > 1 ? `, ${cause}` : "";
    this.reason = `WASM with ${simd}, ${threads} thread${
      threads === 1 ? "" : "s"
    }${alone} (${why})`;
  }

  /** Bytes of engine memory: in total, in use, and the peak. */
  get memory(): MemoryUse {
    return this.#wasm.memory.use;
  }

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  #alive(action: string): void {
    if (this.#disposed) throw this.#gone(action);
  }

  #gone(action: string): TypeError {
    return new TypeError(`Cannot run ${action}: the engine was disposed`);
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
      throw new UnsupportedError(`a tensor of dtype "i8"`, "wasm", "use f32, f16 or bf16");
    }
    if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
      throw complaint.range(`shape is ${show(shape)} but must be an array of integers >= 0`);
    }
    if (data.length !== count(shape)) {
      throw complaint.range(
        `data has ${data.length} elements but shape ${show(shape)} needs ${count(shape)}`,
      );
    }
    const tensor = new WasmTensor(this.#wasm.memory, shape, type);
    tensor.view().set(elements({ data, shape, dtype: type }));
    return tensor;
  }

  #checkResident(views: Views, action: string): void {
    for (const view of Object.values(views) as View[]) {
      if (!view.resident) continue;
      const { tensor } = view;
      if (!(tensor instanceof WasmTensor && tensor.livesIn(this.#wasm.memory))) {
        throw new TypeError(`Cannot run ${action}: ${view.name} belongs to another engine`);
      }
    }
  }

  #prepare(problem: AttentionProblem, views: Views, action: string): Plan {
    this.#alive(action);
    this.#checkResident(views, action);
    return planAttention(problem, this.target);
  }

  /** Runs a call to its end on the calling thread. */
  #runSync(problem: AttentionProblem, views: Views, action: string): ResultView[] {
    this.#alive(action);
    this.#checkResident(views, action);
    const plan = planAttention(problem, { ...this.target, threads: 1 });
    const steps = this.#wasm.run(problem, plan, views, { alone: true });
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
    }
  }

  /** Runs a call after those before it, letting the event loop turn now and then. */
  async #runAsync(
    problem: AttentionProblem,
    views: Views,
    action: string,
    signal: AbortSignalLike | undefined,
  ): Promise<ResultView[]> {
    signal?.throwIfAborted();
    const plan = this.#prepare(problem, views, action);
    const before = this.#tail;
    let resolve!: () => void; // Promise.withResolvers is not in Node 20
    this.#tail = new Promise<void>((done) => resolve = done);
    await before;
    try {
      this.#alive(action);
      this.#checkLive(views, action);
      this.#running = true;
      const steps = this.#wasm.run(problem, plan, views, { alone: false, signal });
      let last = performance.now(), told = false;
      for (;;) {
        const stop: boolean = this.#disposed && !told;
        told ||= stop;
        const { done, value } = stop ? steps.throw(this.#gone(action)) : steps.next();
        if (done) return value;
        const now = performance.now();
        if ((value as Pause) === "work" && now - last < TURN_MS) continue;
        await turn();
        last = performance.now();
      }
    } finally {
      this.#running = false;
      if (this.#disposed) this.#wasm.dispose();
      resolve();
    }
  }

  /** A tensor may have been disposed while its call waited. */
  #checkLive(views: Views, action: string): void {
    for (const { name, tensor } of Object.values(views) as View[]) {
      if ("disposed" in tensor && tensor.disposed) {
        throw new TypeError(`Cannot run ${action}: ${name} was disposed while the call waited`);
      }
    }
  }

  /** `attention` on this engine. */
  async attention<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    v: AnyTensor,
    options: AttentionOptions = {},
  ): Promise<AttentionResult<ResultOf<T>>> {
    const { problem, views } = describeForward(q, k, v, options);
    return collect(await this.#runAsync(problem, views, "attention", options.signal));
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
    return collect(this.#runSync(problem, views, "attention"));
  }

  /** `attentionBackward` on this engine. */
  async attentionBackward<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: AttentionBackwardOptions = {},
  ): Promise<AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>>> {
    const { problem, views } = describeBackward(dOut, saved, options);
    return collect(await this.#runAsync(problem, views, "attentionBackward", options.signal));
  }

  /** `attentionBackwardSync` on this engine. */
  attentionBackwardSync<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: AttentionBackwardOptions = {},
  ): AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>> {
    options.signal?.throwIfAborted();
    const { problem, views } = describeBackward(dOut, saved, options);
    return collect(this.#runSync(problem, views, "attentionBackward"));
  }

  /** `mergeAttention` on this engine. */
  mergeAttention<T extends AnyTensor>(
    parts: readonly { readonly out: T; readonly lse: AnyTensor }[],
    options: MergeOptions = {},
  ): AttentionResult<ResultOf<T>> {
    this.#alive("mergeAttention");
    const merge = describeMerge(parts, options);
    for (const part of merge.parts) this.#checkResident({ ...part }, "mergeAttention");
    return collect(this.#wasm.merge(merge.parts, merge.shape));
  }

  /** How `attention` with these arguments would run, as data; nothing is computed. */
  explain(q: AnyTensor, k: AnyTensor, v: AnyTensor, options: AttentionOptions = {}): Explanation {
    const { problem, views } = describeForward(q, k, v, options);
    const plan = this.#prepare(problem, views, "attention");
    return explainPlan(plan, problem, this.reason, this.#wasm.scratchBytes(problem, plan));
  }

  /** Resolves when all work given to the engine so far has ended. */
  async synchronize(): Promise<void> {
    await this.#tail;
  }

  /**
   * Stops the threads. A call that is under way rejects, and so do later ones; tensors of the engine
   * must not be used any more.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (!this.#running) this.#wasm.dispose();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The results of a call by name. */
function collect<R>(results: readonly ResultView[]): R {
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
