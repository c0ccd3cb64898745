// Options of engines: what they are, and checking them.
import { Complaint, show, UnsupportedError } from "./errors.ts";
import type { SimdLevel } from "./wasm/module.ts";

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
  /** Bytes that engine memory may grow to. Default 4 GiB. */
  readonly memoryBudget?: number;
  /** Use a software GPU where there is no other. Matters to WebGPU only. */
  readonly allowFallbackAdapter?: boolean;
  /** Force the plain build even where relaxed SIMD exists: the same rounding on every machine. */
  readonly simd?: SimdLevel;
}

/** Threads to use when nobody says: one for each core, where they can share memory. */
export function defaultThreads(): number {
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
  if (backend === "webgpu") {
    throw new UnsupportedError(
      "computing",
      "webgpu",
      `it is not in this version, use "wasm" or "auto"`,
    );
  }
  if ("device" in options && options.device !== undefined) {
    throw new UnsupportedError("the option device", "wasm", "leave it out, it is planned");
  }
}
