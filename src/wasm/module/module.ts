// Choosing and compiling a build of the kernels. There are two, relaxed and plain SIMD; each can import
// shared or unshared memory (one byte of its import section, docs/decisions/002).
import { show, UnsupportedError } from "../../tensor/errors.ts";
import { kernelBytes, type SimdLevel } from "./kernel_bytes.ts";

/** What the kernels export. */
export interface KernelExports {
  readonly run: (item: number, scratch: number) => void;
  readonly relaxed: () => number;
  readonly forwardScratch: (
    d: number,
    dv: number,
    rows: number,
    keys: number,
    flags: number,
  ) => number;
  readonly backwardScratch: (d: number, dv: number, rows: number) => number;
  readonly decodeScratch: (d: number, dv: number, rows: number, keys: number) => number;
  readonly insideScratch: (d: number, rows: number, keys: number, count: number) => number;
  readonly maxSimScratch: (dim: number, queries: number, documents: number) => number;
  readonly maxSimGradient: (
    q: number,
    k: number,
    keys: number,
    dScores: number,
    dq: number,
    dk: number,
    documents: number,
    queries: number,
    n: number,
  ) => void;
  readonly widen: (source: number, target: number, n: number, dtype: number) => void;
  readonly narrow: (source: number, target: number, n: number, dtype: number) => void;
  readonly rotate: (
    rows: number,
    pitch: number,
    n: number,
    dims: number,
    table: number,
    interleaved: boolean,
    inverse: boolean,
  ) => void;
  readonly storeRows: (record: number) => void;
  readonly probeNeighbours: (turns: number) => void;
  readonly probeApart: (turns: number) => void;
  readonly probeFours: (turns: number) => void;
  readonly summarizeBlocks: (
    rows: number,
    pitch: number,
    n: number,
    keys: number,
    to: number,
  ) => void;
}

/** The names of what they export. */
const KERNEL_EXPORTS: readonly (keyof KernelExports | "runTicket")[] = [
  "run",
  "runTicket",
  "relaxed",
  "forwardScratch",
  "backwardScratch",
  "decodeScratch",
  "insideScratch",
  "maxSimScratch",
  "maxSimGradient",
  "widen",
  "narrow",
  "rotate",
  "storeRows",
  "probeNeighbours",
  "probeApart",
  "probeFours",
  "summarizeBlocks",
];

const zeros = (n: number): number[] => new Array(n).fill(0);
const HEADER = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0];
const CONST = [253, 12, ...zeros(16)];
// (func v128.const 0 x3, f32x4.relaxed_madd, drop)
const RELAXED_PROBE = [
  ...HEADER,
  10,
  62,
  1,
  60,
  0,
  ...CONST,
  ...CONST,
  ...CONST,
  253,
  133,
  2,
  26,
  11,
];
// (func v128.const 0, i8x16.popcnt, drop)
const SIMD_PROBE = [...HEADER, 10, 25, 1, 23, 0, ...CONST, 253, 98, 26, 11];

function valid(bytes: readonly number[]): boolean {
  return WebAssembly.validate(new Uint8Array(bytes));
}

/** The best build that the engine validates; throws where there is no WebAssembly SIMD at all. */
export function detectSimd(): SimdLevel {
  if (typeof WebAssembly !== "object") {
    throw new UnsupportedError(
      "a host without WebAssembly",
      "wasm",
      "run it without --jitless (Lockdown Mode and some policies of browsers switch WebAssembly off too)",
    );
  }
  if (!valid(SIMD_PROBE)) {
    throw new UnsupportedError(
      "WebAssembly without SIMD",
      "wasm",
      "use a runtime from 2021 or later, on a processor with SSE4.1 where it is x86",
    );
  }
  return valid(RELAXED_PROBE) ? "relaxed" : "plain";
}

/** Compiles a build; hosts that forbid it get an error that says what to pass instead. */
export function compileKernels(level: SimdLevel, shared: boolean): WebAssembly.Module {
  try {
    return new WebAssembly.Module(kernelBytes(level, shared));
  } catch (cause) {
    const error = new UnsupportedError(
      "compiling WebAssembly at run time",
      "wasm",
      "a page needs 'wasm-unsafe-eval' in the script-src of its Content-Security-Policy; on an edge " +
        "function pass createEngine({ wasmModule }), a module imported from a .wasm file " +
        "(its bytes are in @flashtile/attention/kernels)",
    );
    error.cause = cause;
    throw error;
  }
}

/** What a module exports; undefined where a value is no module. Modules of other realms are no instances here. */
function exportsOf(value: unknown): WebAssembly.ModuleExportDescriptor[] | undefined {
  try {
    return WebAssembly.Module.exports(value as WebAssembly.Module);
  } catch {
    return undefined;
  }
}

/** Says what is wrong with a module of a caller, in words that follow its name; undefined where nothing is. */
export function moduleFault(value: unknown): string | undefined {
  if (typeof WebAssembly !== "object") return undefined; // which is said when a build is chosen
  const found = exportsOf(value);
  if (!found) return `is ${show(value)} but must be a WebAssembly.Module`;
  const names = new Set(found.filter(({ kind }) => kind === "function").map(({ name }) => name));
  const missing = KERNEL_EXPORTS.filter((name) => !names.has(name));
  if (missing.length === 0) return undefined;
  return `has no ${missing.join(", ")}: it must be compiled from the bytes that ` +
    "@flashtile/attention/kernels exports, of this version";
}

/** An instance on a memory. */
export function instantiateKernels(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): KernelExports {
  try {
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    return exports as unknown as KernelExports;
  } catch (cause) {
    throw new TypeError(
      "Cannot run createEngine: wasmModule does not fit, it must be compiled from the bytes that " +
        "kernelBytes of @flashtile/attention/kernels returns, unchanged",
      { cause },
    );
  }
}
