// What the options of an engine mean for its CPU backend on this host.
import { UnsupportedError } from "../tensor/errors.ts";
import type { WasmTarget } from "../plan/target.ts";
import type { SimdLevel } from "./module/kernel_bytes.ts";
import { detectSimd } from "./module/module.ts";
import { builtin, threadShortage, workerShortage } from "./run/host.ts";

/** Which vector instructions to use: a build, and "wide" for the relaxed one with the work cut for 256 bits. */
export type SimdOption = SimdLevel | "wide";

/** How a backend is made. */
export interface WasmSettings {
  readonly level: SimdLevel;
  /** Whether operations are 256 bits wide, where the caller says so. */
  readonly wide?: boolean | undefined;
  /** Whether a product of bytes is one instruction, where that is known. */
  readonly fours?: boolean | undefined;
  readonly shared: boolean;
  readonly threads: number;
  /** Why there are fewer threads than were asked for. */
  readonly shortage?: string | undefined;
  /** Workers with a memory of their own; undefined where none were asked for. */
  readonly workers?: number | undefined;
  /** Why there are fewer of them than were asked for. */
  readonly workersMissing?: string | undefined;
  readonly memoryBudget: number;
  readonly module?: WebAssembly.Module | undefined;
}

/** Of the options of an engine, those that this backend looks at. */
export interface WasmRequest {
  readonly backend?: string | undefined;
  readonly threads?: number | undefined;
  readonly workers?: number | undefined;
  readonly wasmModule?: object | undefined;
  readonly memoryBudget?: number | undefined;
  readonly simd?: SimdOption | undefined;
}

/** Processors, as far as the host tells. */
function cores(): number | undefined {
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  return navigator?.hardwareConcurrency ??
    builtin<{ availableParallelism(): number }>("node:os")?.availableParallelism(); // Node 20
}

/**
 * Most threads to a core. More than one gains nothing; some more do no harm, so that a number of threads, and
 * with it the bits of results, can be had on machines that differ. 256 on two cores took 11 s to start.
 */
const THREADS_PER_CORE = 4;

/** How the WASM backend is made on this host. Throws where the options need what it lacks. */
export function wasmSettings(options: WasmRequest): WasmSettings {
  const found = detectSimd();
  const { simd } = options;
  if ((simd === "relaxed" || simd === "wide") && found === "plain") {
    throw new UnsupportedError("relaxed SIMD", "wasm", `leave simd out or pass "plain"`);
  }
  // one for each core where nobody says
  const asked = options.threads ?? cores();
  const wanted = options.threads ?? Math.max(1, Math.min(64, asked ?? 1));
  const most = THREADS_PER_CORE * Math.max(1, wanted > THREADS_PER_CORE ? cores() ?? 1 : 1);
  // a host that does not tell how many cores it has may tell why there are no threads
  const blocked = wanted === 1 && asked !== undefined
    ? undefined
    : options.wasmModule === undefined
    ? threadShortage()
    : "wasmModule was given, and it imports memory that cannot be shared";
  const threads = blocked === undefined ? Math.min(wanted, most) : 1;
  const shortage = blocked ??
    (threads < wanted
      ? `${THREADS_PER_CORE} to a core is the most, as more gain nothing`
      : undefined);
  const workersMissing = options.workers ? workerShortage() : undefined;
  return {
    workers: options.workers && (workersMissing === undefined ? options.workers : 0),
    workersMissing,
    level: simd === "plain" ? "plain" : found,
    // products that are not fused were never measured: nobody looks
    wide: simd === "wide" ? true : simd === undefined && found === "relaxed" ? undefined : false,
    threads,
    shortage,
    shared: threads > 1,
    memoryBudget: options.memoryBudget ?? 2 ** 32,
    module: options.wasmModule as WebAssembly.Module | undefined,
  };
}

/** Why there are fewer threads, and fewer workers, than were asked for. */
export interface Shortages {
  readonly threads?: string | undefined;
  readonly workers?: string | undefined;
}

/** What an engine says of its WASM backend: what it is, and `why` it computes. */
export function wasmReason(
  { backend }: WasmRequest,
  { threads, workers, relaxedSimd, vectorBits }: WasmTarget,
  { threads: shortage, workers: missing }: Shortages,
  why?: string,
): string {
  const apart = workers === undefined
    ? ""
    : `, ${workers} worker${workers === 1 ? "" : "s"} with a memory of their own`;
  return `WASM with ${relaxedSimd ? "relaxed" : "plain"} SIMD${
    vectorBits === 256 ? " of 256 bits" : ""
  }, ` +
    `${threads} thread${threads === 1 ? "" : "s"}${apart} ` +
    `(${why ?? (backend === "wasm" ? "asked for" : "no GPU was looked for")})` +
    (shortage === undefined ? "" : `; no more threads: ${shortage}`) +
    (missing === undefined ? "" : `; no more workers: ${missing}`);
}
