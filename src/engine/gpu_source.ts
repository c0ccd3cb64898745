// The GPU of an engine: found when the engine is made or when the first call is worth it, found again when it
// went away. Its code, and all WGSL, is loaded only then. What only an engine with a GPU needs comes from here, so that
// an entry of the CPU alone does not hold it.
import type { Backend } from "../backend/backend.ts";
import { Coexecution, type Pair } from "./coexecute.ts";
import type { EngineOptions } from "./engine_options.ts";
import { UnsupportedError } from "../tensor/errors.ts";
import type { GpuAdapterInfo, GpuDevice } from "../webgpu/device/api.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import type { WebGpuBackend } from "../webgpu/backend.ts";
import type { Tuner } from "../webgpu/tune/tuner.ts";
import type { Detected, OpenDevice } from "../webgpu/device/device.ts";

/** Where an engine gets its GPU from. */
export interface GpuSource {
  /** The backend while there is a device. */
  readonly backend: Backend | undefined;
  /** Why it is used, or why there is none. */
  readonly reason: string;
  /** Whether `detect` has ended. */
  readonly detected: boolean;
  /** A device that is being opened, after a loss. */
  readonly pending?: Promise<void> | undefined;
  /** Looks for the GPU, once. */
  detect(): Promise<void>;
  /**
   * Before a call: finds the tiles of its kernels by trying; undefined where the options do not ask for it, so that nobody
   * waits. `reference`: what is right.
   */
  tune?(problem: AttentionProblem, reference: () => Backend): Promise<void> | undefined;
  /** What shares calls between this and the CPU; undefined where the options do not ask for it. */
  coexecution?(pair: () => Pair | undefined): Coexecution | undefined;
  /** After a loss: another device, where there is one. */
  renew(lost: Backend): Promise<void>;
  /** Lets the engine's own device go. */
  dispose(): void;
}

/** A GPU, or why there is none. */
export class GpuHost implements GpuSource {
  readonly #options: EngineOptions;
  #found: Promise<void> | undefined;
  #own: OpenDevice | undefined;
  #tuner: Tuner | undefined;
  #disposed = false;
  backend: WebGpuBackend | undefined;
  reason = "no GPU was looked for";
  detected = false;
  pending: Promise<void> | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  async #open(): Promise<Detected> {
    const { detect, openDevice } = await import("../webgpu/device/device.ts");
    const { device, backend, allowFallbackAdapter } = this.#options;
    const measure = backend !== "webgpu"; // "auto" compares it with the CPU
    if (device) {
      const info = device.adapterInfo as GpuAdapterInfo | undefined;
      return await openDevice(device as GpuDevice, info, { measure });
    }
    // a software adapter is never picked by "auto": WASM is faster
    return await detect({
      allowFallbackAdapter: backend === "webgpu" && allowFallbackAdapter === true,
      measure,
    });
  }

  async #detect(): Promise<void> {
    const found = await this.#open(), { device, memoryBudget, debug } = this.#options;
    this.detected = true;
    if ("absent" in found) {
      this.reason = found.absent;
      return;
    }
    const { WebGpuBackend } = await import("../webgpu/backend.ts");
    if (this.#disposed) { // while it was being opened
      if (!device) found.open.device.destroy();
      return;
    }
    if (!device) this.#own = found.open;
    const settings = { memoryBudget: memoryBudget ?? 2 ** 36, debug: debug ?? false };
    const backend = this.backend = new WebGpuBackend(found.open, settings);
    // another device is looked for at once, so that the next call finds it
    found.open.device.lost.then(() => this.renew(backend)).catch(() => {});
    const { adapter, software } = found.open.target;
    const why = device
      ? "device was given"
      : this.#options.backend === "webgpu"
      ? "asked for"
      : "found";
    this.reason = `WebGPU on ${adapter}${software ? ", in software" : ""} (${why})`;
  }

  detect(): Promise<void> {
    return this.#found ??= this.#detect();
  }

  tune(problem: AttentionProblem, reference: () => Backend): Promise<void> | undefined {
    const { backend } = this;
    if (this.#options.tune !== "lazy" || !backend) return undefined;
    return this.#tune(backend, problem, reference);
  }

  async #tune(
    backend: WebGpuBackend,
    problem: AttentionProblem,
    reference: () => Backend,
  ): Promise<void> {
    const { Tuner } = await import("../webgpu/tune/tuner.ts"), { tuneStore } = this.#options;
    if (this.#tuner?.device !== backend) this.#tuner = new Tuner(backend, reference, tuneStore);
    await this.#tuner.prepare(problem);
  }

  coexecution(pair: () => Pair | undefined): Coexecution | undefined {
    return this.#options.coexecute ? new Coexecution(pair) : undefined;
  }

  // Calls that lost their device together share the next one.
  async renew(lost: Backend): Promise<void> {
    if (this.backend !== lost || this.#disposed) return await this.#found;
    const why = this.backend.lost;
    this.backend = undefined;
    this.reason = `the GPU was lost: ${why}`;
    this.#own = undefined;
    // a caller's device is the caller's to replace
    if (!this.#options.device) {
      this.#found = this.pending = this.#detect().finally(() => this.pending = undefined);
    }
    await this.#found;
  }

  /** Throws when there is no GPU but the options insist on one. */
  require(): void {
    if (this.backend) return;
    throw new UnsupportedError("computing", "webgpu", `${this.reason}; use "auto" or "wasm"`);
  }

  dispose(): void {
    this.#disposed = true;
    this.#own?.device.destroy();
    this.#own = undefined;
  }
}
