// What the options of an engine mean for its CPU backend on this host.
import { UnsupportedError } from "../tensor/errors.ts";
import type { WasmTarget } from "../plan/target.ts";
import type { SimdLevel } from "./module/kernel_bytes.ts";
import { canShare, detectSimd } from "./module/module.ts";
import { canThread } from "./run/threads.ts";

/** How a backend is made. */
export interface WasmSettings {
  readonly level: SimdLevel;
  readonly shared: boolean;
  readonly threads: number;
  readonly memoryBudget: number;
  readonly module?: WebAssembly.Module;
}

/** Of the options of an engine, those that this backend looks at. */
export interface WasmRequest {
  readonly backend?: string;
  readonly threads?: number;
  readonly wasmModule?: object;
  readonly memoryBudget?: number;
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

/** How the WASM backend is made on this host. Throws where the options need what it lacks. */
export function wasmSettings(options: WasmRequest): WasmSettings {
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
export function wasmReason(options: WasmRequest, target: WasmTarget, why?: string): string {
  const { threads, relaxedSimd } = target;
  const alone = threads === 1 && (options.threads ?? defaultThreads()) > 1;
  const cause = options.wasmModule
    ? "wasmModule was given"
    : "this host cannot share memory with workers";
  return `WASM with ${relaxedSimd ? "relaxed" : "plain"} SIMD, ` +
    `${threads} thread${threads === 1 ? "" : "s"}${alone ? `, ${cause}` : ""} ` +
    `(${why ?? (options.backend === "wasm" ? "asked for" : "no GPU was looked for")})`;
}
