// The backends of an engine, and which of them runs a call: tensors stay where they are, the rest is cost.
import {
  type AbortSignalLike,
  type Backend,
  callName,
  disposedError,
  residentOf,
  type RowPool,
} from "../backend/backend.ts";
import { type Estimates, wasmMs } from "../plan/estimate.ts";
import { cascadeKeys } from "../plan/cascade.ts";
import { checkPrecision, CPU_PRECISIONS, precisionsOf } from "../plan/precision.ts";
import { explainedBlocks } from "../plan/explained_blocks.ts";
import type { Explanation } from "../backend/explanation.ts";
import type { Precision } from "../problem/precision.ts";
import type { MergePart, MergeShape } from "../problem/merge.ts";
import type { AttentionProblem, Call, Views } from "../problem/problem.ts";
import type { TurnCall } from "../problem/rotations.ts";
import type { DType } from "../tensor/dtype.ts";
import { DeviceLostError, UnsupportedError } from "../tensor/errors.ts";
import type { PoolShape } from "../tensor/pages.ts";
import type { HostTensor, Tensor } from "../tensor/tensor.ts";
import type { View } from "../tensor/view.ts";
import { WasmBackend } from "../wasm/backend.ts";
import { wasmReason, type WasmSettings, wasmSettings } from "../wasm/settings.ts";
import type { WebGpuBackend } from "../webgpu/backend.ts";
import type { GpuComputePass } from "../webgpu/device/api.ts";
import { runCascade } from "./cascade.ts";
import type { Coexecution } from "./coexecute.ts";
import { backendOf, byName, checkFree, destinationsOf, type Owned } from "./call_tensors.ts";
import type { EngineOptions } from "./engine_options.ts";
import { failureOf } from "./failure.ts";
import type { GpuSource } from "./gpu_source.ts";
import { quicker } from "./quicker.ts";
import { checkPass } from "./new_tensor.ts";

/** Milliseconds of a call on the CPU from which detecting a GPU, 30 to 100 ms once, is worth it. */
const DETECT_AFTER_MS = 25;

/** A backend for a call, and why. */
export interface Route {
  readonly backend: Backend;
  readonly reason: string;
}

/** Chooses a backend for each call. */
export class Router {
  readonly #options: EngineOptions;
  readonly #settings: WasmSettings;
  readonly #gpu: GpuSource | undefined;
  /** Made when it is first needed: an engine with a GPU may never compile the kernels. */
  #cpu: WasmBackend | undefined;
  readonly #coexecution: Coexecution | undefined;
  disposed = false;

  constructor(options: EngineOptions, gpu: GpuSource | undefined) {
    this.#options = options;
    this.#settings = wasmSettings(options);
    this.#gpu = gpu;
    this.#coexecution = gpu?.coexecution?.(() => this.gpu && { gpu: this.gpu, cpu: this.wasm });
    if (!gpu?.backend) void this.wasm; // what this host lacks is said now
  }

  get wasm(): WasmBackend {
    return this.#cpu ??= new WasmBackend(this.#settings);
  }

  /** The GPU while there is one. */
  get gpu(): Backend | undefined {
    return this.#gpu?.backend;
  }

  /** Where new tensors are put, and calls whose cost says nothing. */
  get first(): Backend {
    return this.gpu ?? this.wasm;
  }

  /** The backends that there are so far. */
  get all(): Backend[] {
    return [this.gpu, this.#cpu].filter((backend) => backend !== undefined);
  }

  /** What calls may be computed in: with a GPU also on the CPU, where calls may go there. */
  get precisions(): readonly Precision[] {
    const all = precisionsOf(this.first.target);
    return this.#options.backend === "webgpu" ? all : [...new Set([...all, ...CPU_PRECISIONS])];
  }

  /** Why the first backend is the first. */
  get reason(): string {
    if (this.gpu) return this.#gpu!.reason;
    const { target, shortages } = this.wasm;
    return wasmReason(this.#options, target, shortages, this.#gpu?.reason);
  }

  /** A tensor of the first backend whose values nobody has written. */
  empty(action: string, shape: readonly number[], dtype: DType): Tensor {
    this.#checkSettled(action);
    return this.first.empty(shape, dtype);
  }

  /** Throws while another device is being opened: what is made now would live on the CPU for good. */
  #checkSettled(action: string): void {
    if (!this.#gpu?.pending) return;
    throw new DeviceLostError(`Cannot run ${action}`, "another device is being opened: call again");
  }

  /** Memory of the first backend for rows of a cache. */
  pools(action: string, shapes: readonly PoolShape[]): RowPool[] {
    this.#checkSettled(action);
    const made: RowPool[] = [];
    try {
      for (const shape of shapes) made.push(this.first.pool(shape));
      return made;
    } catch (error) {
      for (const { tensor } of made) tensor.dispose();
      throw error;
    }
  }

  /** Throws unless the resident tensors among some operands live in the backend of a tensor. */
  checkBeside(tensor: Tensor, views: readonly View[], action: string): void {
    const home = this.all.find((backend) => backend.owns(tensor));
    const lost = (tensor as { open?: { lost?: string } }).open?.lost;
    if (lost) throw new DeviceLostError(`Cannot run ${action}: the cache is gone`, lost);
    const owner = this.owner(views, action, true);
    if (!owner || owner === home) return;
    throw new TypeError(`Cannot run ${action}: k and v live in ${owner.name}, the cache does not`);
  }

  /** A tensor of the first backend with the values of a host tensor. */
  filled(action: string, source: HostTensor, dtype: DType): Tensor {
    const tensor = this.empty(action, source.shape, dtype);
    try {
      tensor.write(source);
      return tensor;
    } catch (error) {
      tensor.dispose();
      throw error;
    }
  }

  /** Throws when the engine was disposed. */
  alive(action: string): void {
    if (this.disposed) throw disposedError(action);
  }

  /** Where the resident tensors of an action live; undefined when all are host tensors. `reads`: it reads them at once. */
  owner(views: readonly Owned[], action: string, reads = false): Backend | undefined {
    if (reads) checkFree(action, views);
    return backendOf(this.all, views, action);
  }

  /** What a call is expected to take on each backend. */
  estimates(problem: AttentionProblem): Estimates {
    const wasm = wasmMs(problem, this.#cpu?.target ?? this.#settings), { gpu } = this;
    return gpu ? { wasm, webgpu: gpu.estimate(problem) } : { wasm };
  }

  /** Which backend runs a call, and why. Throws where it has not the precision that is asked for. */
  route(problem: AttentionProblem, views: Views, into: Views = {}): Route {
    const route = this.#route(problem, views, into);
    checkPrecision(problem, route.backend.target);
    return route;
  }

  #route(problem: AttentionProblem, views: Views, into: Views): Route {
    const all = [...Object.values(views), ...destinationsOf(into)], { gpu } = this;
    const owner = this.owner(all, callName(problem));
    if (owner) {
      const name = owner === gpu ? this.#gpu!.reason : "WASM";
      return { backend: owner, reason: `${name}: its tensors live there` };
    }
    if (!gpu) return { backend: this.wasm, reason: this.reason };
    if (this.#options.backend === "webgpu") return { backend: gpu, reason: this.reason };
    const { onGpu, why } = quicker(problem, this.estimates(problem));
    return onGpu
      ? { backend: gpu, reason: `${this.#gpu!.reason}: ${why}` }
      : { backend: this.wasm, reason: `WASM: ${why}` };
  }

  /** The GPU, where there is one and it is reached by WebGPU. */
  get webgpu(): WebGpuBackend | undefined {
    return this.gpu?.name === "webgpu" ? this.gpu as WebGpuBackend : undefined;
  }

  /** The same for what needs one. */
  requireGpu(what: string, remedy: string): WebGpuBackend {
    const { webgpu } = this;
    if (!webgpu) throw new UnsupportedError(what, "wasm", remedy);
    return webgpu;
  }

  /** Records a call into a pass of the caller's. */
  encode<R>(pass: unknown, { problem, views, into }: Call): R {
    const action = callName(problem);
    this.alive(action);
    if (into) {
      const remedy = `use ${action}, or leave it out`;
      throw new UnsupportedError(`recording ${action} with the option into`, "any", remedy);
    }
    const gpu = this.requireGpu(`recording ${action} into a pass`, `use ${action}`);
    checkPrecision(problem, gpu.target);
    const checked = checkPass(pass, action) as GpuComputePass;
    this.owner(Object.values(views), action, true);
    if (problem.captured > 0) {
      throw new UnsupportedError(
        "recording the gradient of a captured array into a pass",
        "webgpu",
        "use attentionBackward, or leave gradient out of captured()",
      );
    }
    return byName(gpu.encode(checked, problem, views), problem.features);
  }

  /** How a call would run. */
  explain(call: Call): Explanation {
    const { problem, views, into } = call;
    this.alive(callName(problem));
    const { backend, reason } = this.route(problem, views, into);
    const blocks = explainedBlocks(problem), explained = backend.explain(problem, reason, views);
    const sharedKeys = into ? 0 : cascadeKeys(problem, views, backend.target);
    return {
      ...{ ...explained, estimates: this.estimates(problem) },
      ...blocks && { blocks },
      ...sharedKeys > 0 && { sharedKeys },
      ...this.#coexecution?.explain(call, backend, explained),
    };
  }

  /** Merges where the parts live; host tensors on the CPU. */
  merge<R>(parts: readonly MergePart[], shape: MergeShape): R {
    const views = parts.flatMap(({ out, lse }) => [out, lse]);
    const backend = this.owner(views, "mergeAttention", true) ?? this.wasm;
    return byName(backend.merge(parts, shape), []);
  }

  /** Turns rows where they live; host tensors on the CPU. */
  turn<T>(call: TurnCall): T {
    this.alive(call.action);
    const backend = this.owner([{ ...call.view, name: "x" }], call.action, true) ?? this.wasm;
    return backend.turn(call).tensor as T;
  }

  /** Runs a call. Throws at once what needs no waiting: its callers are async. */
  async run<R>(call: Call, signal: AbortSignalLike | undefined): Promise<R> {
    signal?.throwIfAborted();
    const { views, into = {} } = call, action = callName(call.problem);
    this.alive(action);
    checkFree(action, Object.values(views), destinationsOf(into));
    // until the call has ended, their memory stays, and nobody writes to it or reads what is written
    const inputs = residentOf(views), outputs = residentOf(into);
    for (const input of inputs) input.hold(true);
    for (const output of outputs) output.occupy(true);
    try {
      return await this.#run(call, inputs.length + outputs.length > 0, signal);
    } finally {
      for (const input of inputs) input.release(true);
      for (const output of outputs) output.occupy(false);
    }
  }

  async #run<R>(
    call: Call,
    resident: boolean,
    signal: AbortSignalLike | undefined,
  ): Promise<R> {
    const { problem, views, into } = call;
    // without a turn where there is nothing to wait for: calls begin before what their caller does next
    if (this.#gpu?.pending) await this.#gpu.pending;
    const worthIt = () =>
      problem.precision === "f16" || this.estimates(problem).wasm > DETECT_AFTER_MS;
    if (this.#gpu && !this.#gpu.detected && !resident && worthIt()) await this.#gpu.detect();
    const { backend } = this.route(problem, views, into);
    try {
      const tuning = backend === this.gpu && this.#gpu?.tune?.(problem, () => this.wasm);
      if (tuning) await tuning;
      const both = this.#coexecution && await this.#coexecution.run(call, backend, signal);
      if (both) return byName(both, problem.features);
      const results = into ? await backend.run(problem, views, { signal, into }) : await runCascade(
        backend,
        { problem, views },
        ({ problem, views }, resident) => backend.run(problem, views, { signal, resident }),
      );
      return byName(results, problem.features);
    } catch (error) {
      if (!(error instanceof DeviceLostError) || this.disposed) throw failureOf(error, call);
      await this.#gpu?.renew(backend);
      if (resident) throw error; // its tensors went with the device
      signal?.throwIfAborted();
      const again = this.first;
      checkPrecision(problem, again.target);
      const results = await again.run(problem, views, { signal, into });
      return { ...byName<R>(results, problem.features), recovered: again.name };
    }
  }

  /** On the CPU whatever the engine has: nothing on a GPU can be awaited at once. */
  runSync<R>(call: Call): R {
    const { problem, views, into = {} } = call, action = callName(problem);
    this.alive(action);
    checkFree(action, Object.values(views), destinationsOf(into));
    const owner = this.owner([...Object.values(views), ...destinationsOf(into)], action);
    if (owner && owner === this.gpu) {
      throw new UnsupportedError(
        `${action}Sync of tensors in GPU memory`,
        "webgpu",
        `use ${action}, or pass host tensors`,
      );
    }
    checkPrecision(problem, this.wasm.target);
    return byName(this.wasm.runSync(problem, views, into), problem.features);
  }

  dispose(): void {
    this.disposed = true;
    for (const backend of this.all) backend.dispose();
    this.#gpu?.dispose();
  }
}
