// Options of engines: what they are, and checking them.
import type { AbortSignalLike } from "../backend/backend.ts";
import { Complaint, show } from "../tensor/errors.ts";
import type { GpuDeviceLike } from "../webgpu/device/api.ts";
import type { TuneStore } from "../webgpu/tune/memory.ts";
import type { SimdOption } from "../wasm/settings.ts";
import { moduleFault } from "../wasm/module/module.ts";

/** What a method of an engine takes beside the options of a call: the engine is known already. */
export interface Abortable {
  /** Stops the call between pieces of work; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignalLike | undefined;
}

/** Whether an engine finds tiles by trying. */
export type TuneOption = "off" | "lazy";

/** Which backends an engine may use. */
export type BackendName = "auto" | "webgpu" | "wasm";

/** Options of `createEngine`. */
export interface EngineOptions {
  /** Default `"auto"`: the best backend of this machine. */
  readonly backend?: BackendName | undefined;
  /**
   * Threads that share the work, the calling one included; at most four to a core. Default: one for each core, at
   * most 64.
   */
  readonly threads?: number | undefined;
  /**
   * Workers that have a memory of their own each, from 2 to 64, for hosts where memory cannot be shared: pages that are not
   * cross-origin isolated, which have one thread. Large calls of host tensors are sent to them by heads, sequences and rows
   * where that gains a tenth or more; results have the bits of one thread, but for dq of fewer kv heads than workers, whose
   * keys are cut. `memoryBudget` holds for all memories together. Default: none.
   */
  readonly workers?: number | undefined;
  /**
   * Shares large calls of host tensors between the GPU and the CPU, by kv heads or sequences, where the estimate gains a tenth
   * or more; `explain` says what goes where. Default false.
   */
  readonly coexecute?: boolean | undefined;
  /** A compiled module of the kernels, for hosts that forbid compiling at run time. */
  readonly wasmModule?: object | undefined;
  /**
   * Bytes that the memory of each backend may grow to, resident tensors included. What a call needs beyond it comes in parts;
   * a call that cannot throws a `RangeError` with the budget that would do. Default 4 GiB for WASM, 64 GiB on a GPU.
   */
  readonly memoryBudget?: number | undefined;
  /** With `backend: "webgpu"`: take a software GPU where there is no other. */
  readonly allowFallbackAdapter?: boolean | undefined;
  /** A `GPUDevice` to compute on: of the page, or of Dawn (`npm:webgpu`). It stays the caller's. */
  readonly device?: GpuDeviceLike | undefined;
  /**
   * `"lazy"`: before its first large call of a kind, the engine tries a few tiles on its GPU, seconds once, and keeps
   * the fastest; results then have the bits of that tile. Default `"off"`.
   */
  readonly tune?: TuneOption | undefined;
  /** Where tiles that were found are kept from run to run. Default `localStorage`, where there is one. */
  readonly tuneStore?: TuneStore | undefined;
  /** Check every submission to the GPU for validation errors; each costs a wait. */
  readonly debug?: boolean | undefined;
  /**
   * Vector instructions on the CPU. `"plain"`: without fused multiply-add even where relaxed SIMD exists, the same rounding on
   * every machine; `"wide"`: the work cut for an engine that makes one operation of 256 bits of two of 128 (V8's
   * re-vectorisation), which is otherwise found out while calls come; `"relaxed"`: never so. The last two and the default
   * have the same bits.
   */
  readonly simd?: SimdOption | undefined;
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
    "workers",
    "coexecute",
    "wasmModule",
    "memoryBudget",
    "simd",
    "device",
    "allowFallbackAdapter",
    "debug",
    "tune",
    "tuneStore",
  ];
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw complaint.type(
      `options has the unknown name ${show(unknown)}, wanted one of ${known.join(", ")}`,
    );
  }
  const { backend = "auto", threads, workers, memoryBudget, simd, wasmModule } = options;
  if (!["auto", "webgpu", "wasm"].includes(backend)) {
    throw complaint.type(`backend is ${show(backend)} but must be "auto", "webgpu" or "wasm"`);
  }
  if (threads !== undefined && typeof threads !== "number") {
    throw complaint.type(`threads is ${show(threads)} but must be an integer from 1 to 256`);
  }
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads >= 1 && threads <= 256)) {
    throw complaint.range(`threads is ${show(threads)} but must be an integer from 1 to 256`);
  }
  if (workers !== undefined && typeof workers !== "number") {
    throw complaint.type(`workers is ${show(workers)} but must be an integer from 2 to 64`);
  }
  if (workers !== undefined && !(Number.isSafeInteger(workers) && workers >= 2 && workers <= 64)) {
    throw complaint.range(`workers is ${show(workers)} but must be an integer from 2 to 64`);
  }
  if (memoryBudget !== undefined && typeof memoryBudget !== "number") {
    throw complaint.type(`memoryBudget is ${show(memoryBudget)} but must be a number of bytes`);
  }
  if (memoryBudget !== undefined && !(memoryBudget >= 65536)) {
    throw complaint.range(`memoryBudget is ${show(memoryBudget)} but must be at least 65536 bytes`);
  }
  if (simd !== undefined && !["plain", "relaxed", "wide"].includes(simd)) {
    throw complaint.type(`simd is ${show(simd)} but must be "plain", "relaxed" or "wide"`);
  }
  const fault = wasmModule === undefined ? undefined : moduleFault(wasmModule);
  if (fault !== undefined) throw complaint.type(`wasmModule ${fault}`);
  checkDevice(options, complaint);
  checkTune(options, complaint);
}

function checkTune({ tune, tuneStore }: EngineOptions, complaint: Complaint): void {
  if (tune !== undefined && !["off", "lazy"].includes(tune)) {
    throw complaint.type(`tune is ${show(tune)} but must be "off" or "lazy"`);
  }
  if (tuneStore === undefined) return;
  const { getItem, setItem } = (tuneStore ?? {}) as Partial<TuneStore>;
  if (typeof getItem !== "function" || typeof setItem !== "function") {
    throw complaint.type(
      `tuneStore is ${
        show(tuneStore)
      } but must have the methods getItem and setItem, as localStorage has`,
    );
  }
}

/** The options about the GPU. */
function checkDevice(
  { backend, device, debug, allowFallbackAdapter, coexecute }: EngineOptions,
  complaint: Complaint,
): void {
  for (const [name, value] of Object.entries({ debug, allowFallbackAdapter, coexecute })) {
    if (value !== undefined && typeof value !== "boolean") {
      throw complaint.type(`${name} is ${show(value)} but must be true or false`);
    }
  }
  if (coexecute && backend === "wasm") {
    throw complaint.type(`coexecute is true but backend is "wasm": use "auto" or "webgpu"`);
  }
  if (device === undefined) return;
  const looks = typeof device === "object" && device !== null && "createComputePipeline" in device;
  if (!looks) throw complaint.type(`device is ${show(device)} but must be a GPUDevice`);
  if (backend === "wasm") {
    throw complaint.type(`device was given but backend is "wasm": use "webgpu" or "auto"`);
  }
}
