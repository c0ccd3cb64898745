// Finding a GPU: adapter, device with the adapter's own limits, the dialect of its compiler, and a proof that it computes.
import { DeviceLostError } from "../../tensor/errors.ts";
import type { GpuMemory } from "./memory.ts";
import { prove } from "./proof.ts";
import { measureFlops } from "./rate.ts";
import type { WebGpuTarget } from "../../plan/target.ts";
import {
  type Gpu,
  type GpuAdapter,
  type GpuAdapterInfo,
  type GpuBuffer,
  type GpuDevice,
  type GpuError,
  MAP_READ,
} from "./api.ts";

/** A device that may be computed on. */
export class OpenDevice {
  readonly device: GpuDevice;
  /** What it can do, and how kernels are cut for it. */
  target: WebGpuTarget;
  /** Milliseconds that a read-back of a few bytes took. */
  readonly readBackMs: number;
  /** Whether every submission waits for what the device says of it. */
  debug = false;
  /** What the device has not yet said of. */
  readonly #outcomes = new Set<Promise<void>>();
  /** The first error that nobody has heard yet. */
  #error: Error | undefined;
  /** Errors that were thrown. */
  readonly #told = new WeakSet<Error>();
  /** Memory whose buffers the device may have no room for: that goes before what it says of work with them. */
  room: Pick<GpuMemory, "heard" | "takeError"> | undefined;
  #lost: string | undefined;
  /** Who waits for work of the device. Not one promise of the loss: each wait would stay with it until the loss. */
  readonly #waiting = new Set<(error: Error) => void>();

  constructor(device: GpuDevice, target: WebGpuTarget, readBackMs: number) {
    this.device = device;
    this.target = target;
    this.readBackMs = readBackMs;
    device.lost.then(({ reason, message }) => {
      this.#lost = message || reason || "the device was lost";
      for (const reject of this.#waiting) reject(new DeviceLostError("", this.#lost));
    });
  }

  /** Why the device went away; undefined while it is there. */
  get lost(): string | undefined {
    return this.#lost;
  }

  /**
   * Does work that may be invalid. What the device says of it comes later: `settled` throws it, or `throwError` once
   * it is there.
   */
  checked<T>(action: string, work: () => T): T {
    this.device.pushErrorScope("validation");
    try {
      return work();
    } finally {
      const outcome = this.device.popErrorScope().then((error: GpuError | null) => {
        if (error) this.#error ??= new Error(`${action}: the GPU rejected it: ${error.message}`);
      }, () => {}) // of a device that was lost
        .finally(() => this.#outcomes.delete(outcome));
      this.#outcomes.add(outcome);
    }
  }

  /** Throws an error that the device told of after its call had ended; it is then forgotten. */
  throwError(): void {
    const error = this.room?.takeError() ?? this.#error;
    this.#error = undefined;
    if (!error) return;
    this.#told.add(error);
    throw error;
  }

  /** Waits for what the device says of all work so far; throws the first error. */
  async settled(): Promise<void> {
    await Promise.all(this.#outcomes);
    await this.heard();
  }

  /** Waits for what it says of memory alone, which is a turn and not its work; throws the first error. */
  async heard(): Promise<void> {
    await this.room?.heard();
    this.throwError();
  }

  /**
   * The reason of a call that has failed. What the device says of one want of memory is several errors, in any order: they
   * are all heard here, so that no call after it fails for them.
   */
  async reason(error: unknown): Promise<unknown> {
    if (!this.#told.has(error as Error)) return error;
    const other = await this.settled().catch((error) => error);
    return other instanceof RangeError ? other : error;
  }

  /** Maps buffers to be read. Rejects with what the device said of the work that fills them, where it said something. */
  async mapped(buffers: readonly GpuBuffer[], action: string): Promise<void> {
    try {
      await this.whileAlive(
        Promise.all(buffers.map((buffer) => buffer.mapAsync(MAP_READ))),
        action,
      );
    } finally {
      await this.settled();
    }
  }

  /** Waits for work of the device; rejects when it goes away meanwhile. */
  async whileAlive<T>(work: Promise<T>, action: string): Promise<T> {
    let stop!: (error: Error) => void;
    const gone = new Promise<never>((_, reject) => this.#waiting.add(stop = reject));
    if (this.#lost !== undefined) stop(new DeviceLostError("", this.#lost));
    try {
      const result = await Promise.race([work, gone]);
      // Deno resolves some waits of a device that was destroyed
      await Promise.resolve();
      if (this.#lost === undefined) return result;
    } catch (error) {
      // a map that is rejected by the loss may come before the loss itself
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 20))]);
      await Promise.resolve();
      if (this.#lost === undefined) throw error;
    } finally {
      this.#waiting.delete(stop);
    }
    throw new DeviceLostError(action, this.#lost);
  }
}

/** The limits that kernels look at, by the names of WebGPU. */
const LIMITS: readonly (readonly [keyof WebGpuTarget["limits"], string])[] = [
  ["storageBinding", "maxStorageBufferBindingSize"],
  ["buffer", "maxBufferSize"],
  ["workgroupBytes", "maxComputeWorkgroupStorageSize"],
  ["workgroupThreads", "maxComputeInvocationsPerWorkgroup"],
  ["storageBuffers", "maxStorageBuffersPerShaderStage"],
  ["workgroups", "maxComputeWorkgroupsPerDimension"],
  ["offsetAlignment", "minStorageBufferOffsetAlignment"],
];
const OPTIONAL = ["subgroups", "shader-f16", "timestamp-query"];

/** How detection may go. */
export interface DetectOptions {
  readonly allowFallbackAdapter: boolean;
  /** Whether to measure how fast it is: where calls may run elsewhere. */
  readonly measure?: boolean;
  /** Only the limits that every device has: for tests. */
  readonly defaultLimits?: boolean;
  /** Lower limits still: for tests. */
  readonly limits?: Partial<WebGpuTarget["limits"]>;
}

/** How a device is opened. */
export interface OpenOptions extends Pick<DetectOptions, "limits" | "measure"> {
  /** Whether its adapter is known to compute on the CPU. */
  readonly software?: boolean;
}

/** A device, or why there is none. */
export type Detected = { readonly open: OpenDevice } | { readonly absent: string };

/** Asks for a device with everything that the adapter grants. Deno grants subgroups without listing them. */
export async function requestDevice(
  adapter: GpuAdapter,
  options: DetectOptions,
): Promise<GpuDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const [, name] of options.defaultLimits ? [] : LIMITS) {
    const value = adapter.limits[name];
    if (value !== undefined && !name.startsWith("min")) requiredLimits[name] = value;
  }
  // what an adapter does not have rejects the request, so a feature that is not listed is tried apart
  const listed = OPTIONAL.filter((name) => adapter.features.has(name));
  const hidden = OPTIONAL.filter((name) => name === "subgroups" && !listed.includes(name));
  if (hidden.length > 0 && adapter.info?.subgroupMinSize) {
    try {
      return await adapter.requestDevice({
        requiredFeatures: [...listed, ...hidden],
        requiredLimits,
      });
    } catch { /* really not there */ }
  }
  return await adapter.requestDevice({ requiredFeatures: listed, requiredLimits });
}

/** What an adapter is called. */
export function adapterName(info: GpuAdapterInfo | undefined): string {
  if (info?.description) return info.description;
  const names = [info?.vendor, info?.architecture, info?.device].filter((name) => name);
  return names.length > 0 ? names.join(" ") : "unknown adapter";
}

const SOFTWARE_NAMES = /llvmpipe|lavapipe|swiftshader|software|basic render/i;

/** Whether an adapter computes on the CPU. */
export function isSoftware(info: GpuAdapterInfo | undefined, flag?: boolean): boolean {
  return flag === true || info?.isFallbackAdapter === true ||
    SOFTWARE_NAMES.test(`${info?.description} ${info?.architecture} ${info?.device}`);
}

async function compiles(device: GpuDevice, code: string): Promise<boolean> {
  device.pushErrorScope("validation");
  device.createShaderModule({ code });
  return (await device.popErrorScope()) === null;
}

/** naga rejects the directive that Tint wants for subgroups. */
async function dialectOf(device: GpuDevice): Promise<"naga" | "tint"> {
  const body = "@compute @workgroup_size(1) fn main() {}";
  if (device.features.has("subgroups")) {
    return await compiles(device, `enable subgroups;\n${body}`) ? "tint" : "naga";
  }
  // a pointer into workgroup memory as a parameter: Tint takes it, naga does not
  const probe = `var<workgroup> x: array<u32, 4>;
fn first(p: ptr<workgroup, array<u32, 4>>) -> u32 { return (*p)[0]; }
@compute @workgroup_size(1) fn main() { x[1] = first(&x); }`;
  return await compiles(device, probe) ? "tint" : "naga";
}

/** What a device can do. */
async function describe(
  device: GpuDevice,
  info: GpuAdapterInfo | undefined,
  software: boolean,
  { limits: lower, measure }: OpenOptions,
): Promise<WebGpuTarget> {
  const limits = Object.fromEntries(LIMITS.map(([key, name]) => [key, device.limits[name]]));
  const subgroups = device.features.has("subgroups") && info?.subgroupMinSize
    ? { min: info.subgroupMinSize, max: info.subgroupMaxSize ?? info.subgroupMinSize }
    : undefined;
  return {
    backend: "webgpu",
    adapter: adapterName(info),
    software,
    dialect: await dialectOf(device),
    subgroups,
    shaderF16: device.features.has("shader-f16"),
    timestamps: device.features.has("timestamp-query"),
    flops: measure && !software ? await measureFlops(device) : undefined,
    limits: { ...limits, ...lower } as WebGpuTarget["limits"],
  };
}

/** Proves a device and describes it. */
export async function openDevice(
  device: GpuDevice,
  info: GpuAdapterInfo | undefined,
  options: OpenOptions = {},
): Promise<Detected> {
  const proof = await prove(device);
  if ("wrong" in proof) return { absent: `a test kernel failed: ${proof.wrong}` };
  const target = await describe(device, info, isSoftware(info, options.software), options);
  return { open: new OpenDevice(device, target, proof.ms) };
}

/** Finds the GPU of this host. */
export async function detect(options: DetectOptions): Promise<Detected> {
  const { navigator, isSecureContext } = globalThis as {
    navigator?: { gpu?: Gpu };
    isSecureContext?: boolean;
  };
  const gpu = navigator?.gpu;
  if (!gpu) {
    const why = isSecureContext === false ? ": the context is not secure" : "";
    return { absent: `this host has no WebGPU${why}` };
  }
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return { absent: "there is no adapter" };
    const software = isSoftware(adapter.info, adapter.isFallbackAdapter);
    if (software && !options.allowFallbackAdapter) {
      return { absent: `the only adapter is software (${adapterName(adapter.info)})` };
    }
    const device = await requestDevice(adapter, options);
    const opened = await openDevice(device, adapter.info, { ...options, software });
    if ("absent" in opened) device.destroy();
    return opened;
  } catch (error) {
    return { absent: `the adapter gave no device: ${(error as Error).message}` };
  }
}
