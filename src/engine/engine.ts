// Engines: a backend, chosen once with a reason, and the calls that run on it.
import {
  type AbortSignalLike,
  type Backend,
  type BackendResult,
  callName,
  disposedError,
  type MemoryUse,
} from "../backend/backend.ts";
import type { DType, TensorData } from "../tensor/dtype.ts";
import { checkEngineOptions, type EngineOptions } from "./engine_options.ts";
import { Complaint, DeviceLostError, show, UnsupportedError } from "../tensor/errors.ts";
import type { Explanation } from "../backend/explanation.ts";
import type { GpuSource } from "./gpu_source.ts";
import { describeMerge, type MergeCallOptions } from "../problem/merge.ts";
import { checkDType, count, type View } from "../tensor/view.ts";
import type {
  AttentionGradients,
  AttentionResult,
  BackwardCallOptions,
  CallOptions,
  SavedForBackward,
} from "../problem/call_options.ts";
import { type Estimates, wasmMs } from "../plan/estimate.ts";
import {
  type AttentionProblem,
  describeBackward,
  describeForward,
  type Views,
} from "../problem/problem.ts";
import type { Target } from "../plan/target.ts";
import type { AnyTensor, ResultOf, Tensor } from "../tensor/tensor.ts";
import { WasmBackend } from "../wasm/backend.ts";
import { wasmReason, type WasmSettings, wasmSettings } from "../wasm/settings.ts";
import type { GpuComputePass, GpuDeviceLike } from "../webgpu/device/api.ts";
import type { WebGpuBackend } from "../webgpu/backend.ts";
import type { GpuTensor } from "../webgpu/device/tensors.ts";

/** What a method of an engine takes beside the options of a call: the engine is known already. */
export interface Abortable {
  /** Stops the call between pieces of work; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignalLike;
}

/** Milliseconds of a call on the CPU from which looking for a GPU, 30 to 100 ms once, is worth it. */
const LOOK_MS = 25;

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
  readonly #options: EngineOptions;
  readonly #settings: WasmSettings;
  readonly #gpu: GpuSource | undefined;
  /** Made when it is first needed: an engine with a GPU may never compile the kernels. */
  #cpu: WasmBackend | undefined;
  #disposed = false;

  /** Use `createEngine`. `gpu`: where a GPU comes from. */
  constructor(options: EngineOptions = {}, gpu?: GpuSource) {
    checkEngineOptions(options);
    this.#options = options;
    this.#settings = wasmSettings(options);
    this.#gpu = gpu;
    if (!gpu?.backend) void this.#wasm; // what this host lacks is said now
  }

  get #wasm(): WasmBackend {
    return this.#cpu ??= new WasmBackend(this.#settings);
  }

  /** The backend that computes; on an engine with a GPU, synchronous calls use WASM. */
  get backend(): "wasm" | "webgpu" {
    return this.#gpu?.backend?.name ?? "wasm";
  }

  /** What the backend can do. */
  get target(): Target {
    return this.#gpu?.backend?.target ?? this.#wasm.target;
  }

  /** Why this backend, in words. `explain` says which one a call uses and why. */
  get reason(): string {
    if (this.#gpu?.backend) return this.#gpu.reason;
    return wasmReason(this.#options, this.#wasm.target, this.#gpu?.reason);
  }

  /**
   * The `GPUDevice` that computes, for programs with kernels of their own; undefined on the CPU. Another one after
   * a loss.
   */
  get device(): GpuDeviceLike | undefined {
    return this.#webgpu?.open.device;
  }

  get #webgpu(): WebGpuBackend | undefined {
    const backend = this.#gpu?.backend;
    return backend?.name === "webgpu" ? backend as WebGpuBackend : undefined;
  }

  /** The backends that there are so far. */
  get #backends(): Backend[] {
    return [this.#gpu?.backend, this.#cpu].filter((backend) => backend !== undefined);
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

  /** The options of a method: `engine` may only be this one, which is what `attention()` passes on. */
  #own<O extends object>(options: O, action: string): O {
    const { engine = this } = (options ?? {}) as { engine?: unknown };
    if (engine === this) return options;
    throw new Complaint(action).type(
      `options has the engine ${show(engine)} but this method runs on its own: leave it out`,
    );
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
    if (this.#gpu?.pending) { // it would live on the CPU for good
      throw new DeviceLostError("Cannot run tensor", "another device is being opened: call again");
    }
    return (this.#gpu?.backend ?? this.#wasm).tensor(data, shape, type);
  }

  /**
   * A tensor in a `GPUBuffer` that the caller owns, without a copy; the buffer must have the usage STORAGE
   * (and COPY_SRC to be read, COPY_DST to be written). Disposing of the tensor leaves it alone.
   */
  wrap(
    buffer: object,
    shape: readonly number[],
    { dtype = "f32", byteOffset = 0 }: {
      readonly dtype?: DType;
      readonly byteOffset?: number;
    } = {},
  ): Tensor {
    this.#alive("wrap");
    const gpu = this.#requireGpu("wrapping a GPUBuffer", "use tensor, which copies host values");
    return gpu.wrap(buffer, shape, dtype, byteOffset);
  }

  #requireGpu(what: string, remedy: string): WebGpuBackend {
    const gpu = this.#webgpu;
    if (!gpu) throw new UnsupportedError(what, "wasm", remedy);
    return gpu;
  }

  /** The backend in which the resident tensors of a call live; undefined when all are host tensors. */
  #owner(views: readonly View[], action: string): Backend | undefined {
    let owner: Backend | undefined;
    for (const { name, tensor, resident } of views) {
      if (!resident) continue;
      const found = this.#backends.find((backend) => backend.owns(tensor as Tensor));
      const lost = found ? undefined : (tensor as Partial<GpuTensor>).open?.lost;
      if (lost) throw new DeviceLostError(`Cannot run ${action}: ${name} is gone`, lost);
      if (!found || (owner && found !== owner)) {
        throw new TypeError(`Cannot run ${action}: ${name} belongs to another engine`);
      }
      owner = found;
    }
    return owner;
  }

  /** What a call is expected to take on each backend. */
  #estimates(problem: AttentionProblem): Estimates {
    const wasm = wasmMs(problem, this.#settings), gpu = this.#gpu?.backend;
    return gpu ? { wasm, webgpu: gpu.estimate(problem) } : { wasm };
  }

  /** Which backend runs a call, and why: tensors stay where they are. */
  #route(problem: AttentionProblem, views: Views): { backend: Backend; reason: string } {
    const owner = this.#owner(Object.values(views), callName(problem)), gpu = this.#gpu?.backend;
    if (owner) {
      const name = owner === gpu ? this.#gpu!.reason : "WASM";
      return { backend: owner, reason: `${name}: its tensors live there` };
    }
    if (!gpu) return { backend: this.#wasm, reason: this.reason };
    if (this.#options.backend === "webgpu") return { backend: gpu, reason: this.reason };
    const { wasm, webgpu = Infinity } = this.#estimates(problem);
    const times = `about ${webgpu.toFixed(1)} ms on the GPU and ${wasm.toFixed(1)} ms in WASM`;
    return webgpu <= wasm
      ? { backend: gpu, reason: `${this.#gpu!.reason}: ${times}` }
      : { backend: this.#wasm, reason: `WASM: ${times}` };
  }

  /** Throws at once what needs no waiting: its callers are async. */
  async #run<R>(
    problem: AttentionProblem,
    views: Views,
    signal: AbortSignalLike | undefined,
  ): Promise<R> {
    signal?.throwIfAborted();
    this.#alive(callName(problem));
    const resident = Object.values(views).some((view) => view.resident);
    // without a turn where there is nothing to wait for: calls begin before what their caller does next
    if (this.#gpu?.pending) await this.#gpu.pending;
    if (this.#gpu && !this.#gpu.looked && !resident && this.#estimates(problem).wasm > LOOK_MS) {
      await this.#gpu.find();
    }
    const { backend } = this.#route(problem, views);
    try {
      return collect(await backend.run(problem, views, { signal }));
    } catch (error) {
      if (!(error instanceof DeviceLostError) || this.#disposed) throw error;
      await this.#gpu?.renew(backend);
      if (resident) throw error; // its tensors went with the device
      signal?.throwIfAborted();
      const again = this.#gpu?.backend ?? this.#wasm;
      return { ...collect<R>(await again.run(problem, views, { signal })), recovered: again.name };
    }
  }

  /** On the CPU whatever the engine has: nothing on a GPU can be awaited at once. */
  #runSync(problem: AttentionProblem, views: Views): readonly BackendResult[] {
    const action = callName(problem);
    this.#alive(action);
    const owner = this.#owner(Object.values(views), action);
    if (owner && owner === this.#gpu?.backend) {
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
    options: CallOptions & Abortable = {},
  ): Promise<AttentionResult<ResultOf<T>>> {
    const { problem, views } = describeForward(q, k, v, this.#own(options, "attention"));
    return await this.#run(problem, views, options.signal);
  }

  /** `attentionSync` on this engine. */
  attentionSync<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    v: AnyTensor,
    options: CallOptions & Abortable = {},
  ): AttentionResult<ResultOf<T>> {
    options.signal?.throwIfAborted();
    const { problem, views } = describeForward(q, k, v, this.#own(options, "attention"));
    return collect(this.#runSync(problem, views));
  }

  /** `attentionBackward` on this engine. */
  async attentionBackward<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: BackwardCallOptions & Abortable = {},
  ): Promise<AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>>> {
    const { problem, views } = describeBackward(
      dOut,
      saved,
      this.#own(options, "attentionBackward"),
    );
    return await this.#run(problem, views, options.signal);
  }

  /** `attentionBackwardSync` on this engine. */
  attentionBackwardSync<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: BackwardCallOptions & Abortable = {},
  ): AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>> {
    options.signal?.throwIfAborted();
    const { problem, views } = describeBackward(
      dOut,
      saved,
      this.#own(options, "attentionBackward"),
    );
    return collect(this.#runSync(problem, views));
  }

  /** `mergeAttention` on this engine. */
  mergeAttention<T extends AnyTensor>(
    parts: readonly { readonly out: T; readonly lse: AnyTensor }[],
    options: MergeCallOptions = {},
  ): AttentionResult<ResultOf<T>> {
    this.#alive("mergeAttention");
    const merge = describeMerge(parts, this.#own(options, "mergeAttention"));
    const views = merge.parts.flatMap(({ out, lse }) => [out, lse]);
    const backend = this.#owner(views, "mergeAttention") ?? this.#wasm;
    return collect(backend.merge(merge.parts, merge.shape));
  }

  /**
   * Records `attention` into a compute pass of the caller's on `engine.device`, so that it joins a larger
   * pass. Results are resident and hold their values once the caller has submitted the pass; their scratch is kept
   * until all of them are disposed of, which must be after the submission. The pass keeps no pipeline and no bind
   * group 0 of before; `signal` is not looked at. Needs WebGPU.
   *
   * @example
   * ```ts
   * import { createEngine } from "@flashtile/attention";
   *
   * const engine = await createEngine();
   * if (engine.device) {
   *   const device = engine.device as GPUDevice;
   *   const q = engine.tensor(new Float32Array(64), [1, 1, 1, 64]);
   *   const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
   *   const { out } = engine.encode(pass, q, q, q);
   *   pass.end(); // kernels of your own may stand before and after
   *   device.queue.submit([encoder.finish()]);
   *   console.log(await out.read());
   * }
   * engine.dispose();
   * ```
   */
  encode(
    pass: object,
    q: AnyTensor,
    k: AnyTensor,
    v: AnyTensor,
    options: CallOptions & Abortable = {},
  ): AttentionResult<Tensor> {
    const { problem, views } = describeForward(q, k, v, this.#own(options, "attention"));
    return this.#encode(pass, problem, views);
  }

  /** Records `attentionBackward`, as `encode` records `attention`. */
  encodeBackward(
    pass: object,
    dOut: AnyTensor,
    saved: SavedForBackward,
    options: BackwardCallOptions & Abortable = {},
  ): AttentionGradients<Tensor, Tensor, Tensor> {
    const { problem, views } = describeBackward(
      dOut,
      saved,
      this.#own(options, "attentionBackward"),
    );
    return this.#encode(pass, problem, views);
  }

  #encode<R>(pass: object, problem: AttentionProblem, views: Views): R {
    const action = callName(problem);
    this.#alive(action);
    const gpu = this.#requireGpu(`recording ${action} into a pass`, `use ${action}`);
    if (typeof pass !== "object" || pass === null || !("dispatchWorkgroups" in pass)) {
      throw new Complaint(action).type(`pass is ${show(pass)} but must be a GPUComputePassEncoder`);
    }
    this.#owner(Object.values(views), action);
    return collect(gpu.encode(pass as GpuComputePass, problem, views));
  }

  /** How `attention` with these arguments would run, as data; nothing is computed. */
  explain(
    q: AnyTensor,
    k: AnyTensor,
    v: AnyTensor,
    options: CallOptions & Abortable = {},
  ): Explanation {
    const { problem, views } = describeForward(q, k, v, this.#own(options, "attention"));
    this.#alive("attention");
    const { backend, reason } = this.#route(problem, views);
    return { ...backend.explain(problem, reason), estimates: this.#estimates(problem) };
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
    this.#gpu?.dispose();
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
