// Options of engines: what they are, checking them, and what they mean for the CPU.
import { Complaint, show, UnsupportedError } from "./errors.ts";
import type { WasmTarget } from "./target.ts";
import type { GpuDeviceLike } from "./webgpu/api.ts";
import type { WasmSettings } from "./wasm/backend.ts";
import type { SimdLevel } from "./wasm/kernel_bytes.ts";
import { canShare, detectSimd } from "./wasm/module.ts";
import { canThread } from "./wasm/threads.ts";

/** Which backends an engine may use. */
export type BackendName = "auto" | "webgpu" | "wasm";

/** Options of `createEngine`. */
export interface EngineOptions {
  /** Default `"auto"`: the best backend of this machine. */
  readonly backend?: BackendName;
  /** Threads that share the work, the calling one included. Default: one for each core. */
  readonly threads?: number;
  /** A compiled module of the kernels, for hosts that forbid compiling at run time. */
  readonly wasmModule?: object;
  /** Bytes that the memory of each backend may grow to. Default 4 GiB for WASM, 64 GiB on a GPU. */
  readonly memoryBudget?: number;
  /** With `backend: "webgpu"`: take a software GPU where there is no other. */
  readonly allowFallbackAdapter?: boolean;
  /** A `GPUDevice` to compute on: of the page, or of Dawn (`npm:webgpu`). It stays the caller's. */
  readonly device?: GpuDeviceLike;
  /** Check every submission to the GPU for validation errors; each costs a wait. */
  readonly debug?: boolean;
  /** Force the plain build even where relaxed SIMD exists: the same rounding on every machine. */
  readonly simd?: SimdLevel;
}

/** Threads to use when nobody says: one for each core, where they can share memory. */
function defaultThreads(): number {
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  let cores = navigator?.hardwareConcurrency;
  if (cores === undefined) { // Node 20
    const { process } = globalThis as {
      process?: { getBuiltinModule?: (name: string) => unknown };
    };
    const os = process?.getBuiltinModule?.("node:os") as
      | { availableParallelism(): number }
      | undefined;
    cores = os?.availableParallelism() ?? 1;
  }
  return Math.max(1, Math.min(64, cores));
}

/** Throws unless the options make sense and exist. */
export function checkEngineOptions(options: EngineOptions): void {
  const complaint = new Complaint("createEngine");
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be an object`);
  }
  const known = [
    "backend",
    "threads",
    "wasmModule",
    "memoryBudget",
    "simd",
    "device",
    "allowFallbackAdapter",
    "debug",
  ];
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw complaint.type(
      `options has the unknown name ${show(unknown)}, wanted one of ${known.join(", ")}`,
    );
  }
  const { backend = "auto", threads, memoryBudget, simd, wasmModule } = options;
  if (!["auto", "webgpu", "wasm"].includes(backend)) {
    throw complaint.type(`backend is ${show(backend)} but must be "auto", "webgpu" or "wasm"`);
  }
  if (threads !== undefined && typeof threads !== "number") {
    throw complaint.type(`threads is ${show(threads)} but must be an integer from 1 to 256`);
  }
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads >= 1 && threads <= 256)) {
    throw complaint.range(`threads is ${show(threads)} but must be an integer from 1 to 256`);
  }
  if (memoryBudget !== undefined && typeof memoryBudget !== "number") {
    throw complaint.type(`memoryBudget is ${show(memoryBudget)} but must be a number of bytes`);
  }
  if (memoryBudget !== undefined && !(memoryBudget >= 65536)) {
    throw complaint.range(`memoryBudget is ${show(memoryBudget)} but must be at least 65536 bytes`);
  }
  if (simd !== undefined && simd !== "relaxed" && simd !== "plain") {
    throw complaint.type(`simd is ${show(simd)} but must be "relaxed" or "plain"`);
  }
  if (wasmModule !== undefined && !(wasmModule instanceof WebAssembly.Module)) {
    throw complaint.type(`wasmModule is ${show(wasmModule)} but must be a WebAssembly.Module`);
  }
  checkDevice(options, complaint);
}

/** The options about the GPU. */
function checkDevice(
  { backend, device, debug, allowFallbackAdapter }: EngineOptions,
  complaint: Complaint,
): void {
  for (const [name, value] of Object.entries({ debug, allowFallbackAdapter })) {
    if (value !== undefined && typeof value !== "boolean") {
      throw complaint.type(`${name} is ${show(value)} but must be true or false`);
    }
  }
  if (device === undefined) return;
  const looks = typeof device === "object" && device !== null && "createComputePipeline" in device;
  if (!looks) throw complaint.type(`device is ${show(device)} but must be a GPUDevice`);
  if (backend === "wasm") {
    throw complaint.type(`device was given but backend is "wasm": use "webgpu" or "auto"`);
  }
}

/** How the WASM backend is made on this host. Throws where the options need what it lacks. */
export function wasmSettings(options: EngineOptions): WasmSettings {
  const found = detectSimd();
  if (options.simd === "relaxed" && found === "plain") {
    throw new UnsupportedError("relaxed SIMD", "wasm", `leave simd out or pass "plain"`);
  }
  // a module that was compiled elsewhere imports unshared memory
  const possible = options.wasmModule === undefined && canShare() && canThread();
  const threads = possible ? options.threads ?? defaultThreads() : 1;
  return {
    level: options.simd === "plain" ? "plain" : found,
    threads,
    shared: threads > 1,
    memoryBudget: options.memoryBudget ?? 2 ** 32,
    module: options.wasmModule as WebAssembly.Module | undefined,
  };
}

/** What an engine says of its WASM backend: what it is, and `why` it computes. */
export function wasmReason(options: EngineOptions, target: WasmTarget, why?: string): string {
  const { threads, relaxedSimd } = target;
  const alone = threads === 1 && (options.threads ?? defaultThreads()) > 1;
  const cause = options.wasmModule
    ? "wasmModule was given"
    : "this host cannot share memory with workers";
  return `WASM with ${relaxedSimd ? "relaxed" : "plain"} SIMD, ` +
    `${threads} thread${threads === 1 ? "" : "s"}${alone ? `, ${cause}` : ""} ` +
    `(${why ?? (options.backend === "wasm" ? "asked for" : "no GPU was looked for")})`;
}
