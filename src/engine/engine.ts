// Engines: a backend, chosen once with a reason, and the calls that run on it.
import type { MemoryUse } from "../backend/backend.ts";
import type { KvCacheOptions } from "../cache/cache_options.ts";
import type { KvCache } from "../cache/kv_cache.ts";
import type { Explanation } from "../backend/explanation.ts";
import type { Target } from "../plan/target.ts";
import type {
  AttentionGradients,
  AttentionResult,
  BackwardCallOptions,
  CallOptions,
  SavedForBackward,
} from "../problem/call_options.ts";
import { describeRotary, type RotaryCallOptions } from "../problem/features/apply_rotary.ts";
import { describeMerge, type MergeCallOptions } from "../problem/merge.ts";
import type { Precision } from "../problem/precision.ts";
import { refuseVerify, type VerifyCallOptions } from "../problem/verification.ts";
import type { DType, TensorData } from "../tensor/dtype.ts";
import type { GpuBufferLike, GpuComputePassLike, HostGpuDevice } from "../tensor/gpu_types.ts";
import type { AnyTensor, HostTensor, ResultOf, Tensor, TensorOf } from "../tensor/tensor.ts";
import type { GpuDeviceLike } from "../webgpu/device/api.ts";
import { type CallRunner, EngineCalls } from "./engine_calls.ts";
import { type Abortable, checkEngineOptions, type EngineOptions } from "./engine_options.ts";
import { noteGpu } from "./gpu_of.ts";
import type { GpuSource } from "./gpu_source.ts";
import { checkWrapOptions, describeEmpty, describeTensor, type WrapOptions } from "./new_tensor.ts";
import { newCache } from "./new_cache.ts";
import { own, ownOptions, ownResults } from "./ownership.ts";
import {
  attentionOn,
  attentionSyncOn,
  backwardOn,
  backwardSyncOn,
  describeBackwardOn,
  describeForwardOn,
} from "./passes.ts";
import { Router } from "./router.ts";
import { Runner } from "./runner.ts";

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
export class Engine extends EngineCalls {
  readonly #runner: Runner;
  readonly #router: Router;

  /** Use `createEngine`. `gpu`: where a GPU comes from; `runner`: what runs calls, where there is one already. */
  constructor(options: EngineOptions = {}, gpu?: GpuSource, runner?: CallRunner) {
    checkEngineOptions(options);
    // by another type, since declarations of the backends, which a Runner has, are not the interface's
    const own = (runner ?? new Runner(new Router(options, gpu))) as Runner;
    super(own);
    own.engine = this;
    this.#runner = own;
    this.#router = own.router;
    noteGpu(this, () => this.#router.webgpu);
  }

  /** The backend that computes; on an engine with a GPU, synchronous calls use WASM. */
  get backend(): "wasm" | "webgpu" {
    return this.#router.gpu?.name ?? "wasm";
  }

  /**
   * What the option `precision` may be in calls on this engine: `"f16"` on a GPU whose device has the feature `shader-f16`,
   * `"int8"` and `"int8-pv"` on the CPU. `attentionBackward` has the first of them too; calls of `attention` with few query
   * rows have none.
   */
  get precisions(): readonly Precision[] {
    return this.#router.precisions;
  }

  /** What the backend can do. */
  get target(): Target {
    return this.#router.first.target;
  }

  /** Why this backend, in words. `explain` says which one a call uses and why. */
  get reason(): string {
    return this.#router.reason;
  }

  /** The `GPUDevice` that computes, for kernels of your own; undefined on the CPU. Another one after a loss. */
  get device(): HostGpuDevice<GpuDeviceLike> | undefined {
    return this.#router.webgpu?.open.device as HostGpuDevice<GpuDeviceLike> | undefined;
  }

  /** Bytes of engine memory: in total, in use, and the peak; sums where there are two backends. */
  get memory(): MemoryUse {
    const uses = this.#router.all.map(({ memory }) => memory);
    const sum = (key: keyof MemoryUse) => uses.reduce((bytes, use) => bytes + use[key], 0);
    return { total: sum("total"), used: sum("used"), peak: sum("peak") };
  }

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.#router.disposed;
  }

  /**
   * A resident tensor, row-major, with a copy of `data`. `dtype` follows from the array but for Uint16Array;
   * float32 values may be stored in 16 bits, rounded to the nearest. Bytes have dtype `"bool"`.
   */
  tensor<A extends TensorData>(data: A, shape: readonly number[], dtype?: DType): TensorOf<A>;
  /** The same of a host tensor, strided or not. */
  tensor<A extends TensorData>(tensor: HostTensor<A>, dtype?: DType): TensorOf<A>;
  tensor(data: TensorData | HostTensor, shape?: readonly number[] | DType, dtype?: DType): Tensor {
    this.#router.alive("tensor");
    const stored = typeof shape === "string" ? shape : dtype;
    const made = describeTensor(data, shape, stored, this.backend);
    return own(this.#router.filled("tensor", made.source, made.dtype), this);
  }

  /** A resident tensor whose values are unspecified until they are written. Default f32. */
  empty<D extends DType = "f32">(shape: readonly number[], dtype?: D): TensorOf<D> {
    this.#router.alive("empty");
    const made = describeEmpty(shape, dtype, this.backend);
    return own(this.#router.empty("empty", made.shape, made.dtype), this) as TensorOf<D>;
  }

  /**
   * A tensor in a `GPUBuffer` that the caller owns, without a copy; the buffer must have the usage STORAGE
   * (and COPY_SRC to be read, COPY_DST to be written). Disposing of the tensor leaves it alone. Words of four bytes are
   * written whole: a tensor that ends inside of one can be written only where its buffer ends there too.
   */
  wrap<D extends DType = "f32">(
    buffer: GpuBufferLike,
    shape: readonly number[],
    options: WrapOptions<D> = {},
  ): TensorOf<D> {
    this.#router.alive("wrap");
    const remedy = "use tensor, which copies host values";
    const gpu = this.#router.requireGpu("wrapping a GPUBuffer", remedy);
    const { dtype = "f32", byteOffset = 0 } = checkWrapOptions(options);
    return own(gpu.wrap(buffer, shape, dtype, byteOffset), this) as TensorOf<D>;
  }

  /** A cache of keys and values for decoding. Throws a RangeError where it is more than the backend can hold. */
  kvCache(options: KvCacheOptions): KvCache {
    return newCache(options, this.#router, this);
  }

  /** `attention` on this engine. */
  async attention<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    v: AnyTensor,
    options: CallOptions & Abortable & VerifyCallOptions = {},
  ): Promise<AttentionResult<ResultOf<T>>> {
    return await attentionOn(this.#runner, q, k, v, options);
  }

  /** `attentionSync` on this engine. */
  attentionSync<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    v: AnyTensor,
    options: CallOptions & Abortable = {},
  ): AttentionResult<ResultOf<T>> {
    return attentionSyncOn(this.#runner, q, k, v, options);
  }

  /** `attentionBackward` on this engine. */
  async attentionBackward<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: BackwardCallOptions & Abortable & VerifyCallOptions = {},
  ): Promise<AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>>> {
    return await backwardOn(this.#runner, dOut, saved, options);
  }

  /** `attentionBackwardSync` on this engine. */
  attentionBackwardSync<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
    dOut: AnyTensor,
    saved: SavedForBackward<Q, K, V>,
    options: BackwardCallOptions & Abortable = {},
  ): AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>> {
    return backwardSyncOn(this.#runner, dOut, saved, options);
  }

  /** `mergeAttention` on this engine. */
  mergeAttention<T extends AnyTensor>(
    parts: readonly { readonly out: T; readonly lse: AnyTensor }[],
    options: MergeCallOptions = {},
  ): AttentionResult<ResultOf<T>> {
    this.#router.alive("mergeAttention");
    const merge = describeMerge(parts, ownOptions(options, this, "mergeAttention"));
    return ownResults(this.#router.merge(merge.parts, merge.shape), this);
  }

  /** `applyRotary` on this engine. */
  applyRotary<T extends AnyTensor>(x: T, options: RotaryCallOptions = {}): ResultOf<T> {
    const call = describeRotary(x, ownOptions(options, this, "applyRotary"));
    return ownResults({ x: this.#router.turn<ResultOf<T>>(call) }, this).x;
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
   * const { device } = engine;
   * if (device) {
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
    pass: GpuComputePassLike,
    q: AnyTensor,
    k: AnyTensor,
    v: AnyTensor,
    options: CallOptions & Abortable = {},
  ): AttentionResult<Tensor> {
    refuseVerify(options, "recorded calls", "use attention");
    const call = describeForwardOn(this.#runner, q, k, v, options);
    return ownResults(this.#router.encode(pass, call), this);
  }

  /** Records `attentionBackward`, as `encode` records `attention`. */
  encodeBackward(
    pass: GpuComputePassLike,
    dOut: AnyTensor,
    saved: SavedForBackward,
    options: BackwardCallOptions & Abortable = {},
  ): AttentionGradients<Tensor, Tensor, Tensor> {
    refuseVerify(options, "recorded calls", "use attentionBackward");
    const call = describeBackwardOn(this.#runner, dOut, saved, options);
    return ownResults(this.#router.encode(pass, call), this);
  }

  /** How `attention` with these arguments would run, as data; nothing is computed. */
  explain(
    q: AnyTensor,
    k: AnyTensor,
    v: AnyTensor,
    options: CallOptions & Abortable = {},
  ): Explanation {
    return this.#router.explain(describeForwardOn(this.#runner, q, k, v, options));
  }

  /** Resolves when all work given to the engine so far has ended. */
  async synchronize(): Promise<void> {
    await Promise.all(this.#router.all.map((backend) => backend.synchronize()));
  }

  /**
   * Stops the threads and lets the GPU go. A call that is under way rejects, and so do later ones;
   * tensors of the engine must not be used any more.
   */
  dispose(): void {
    if (!this.#router.disposed) this.#router.dispose();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
