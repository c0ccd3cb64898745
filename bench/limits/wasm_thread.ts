/**
 * What one thread can do at most (see roofline.ts, which adds threads up). Free of the compiler:
 * a worker that loads it waits for it before it hears messages, and loses those sent meanwhile.
 * @module
 */

import { EXP_TABLE_BYTES, writeExpTable } from "./exp_table.ts";
import { type RaceOptions, timeAlone } from "../measure/race.ts";

/** Exports of bench/asm/roofline.ts. */
interface RooflineExports extends WebAssembly.Exports {
  multiplyAdd(operands: number, turns: number): number;
  readForward(from: number, bytes: number): number;
  copyForward(to: number, from: number, bytes: number): void;
  copyBulk(to: number, from: number, bytes: number): void;
  exponential(to: number, from: number, bytes: number, table: number): void;
}

/** What one thread measures; a worker sends this back. */
export interface Limits {
  readonly gflops: number;
  readonly readGBs: number;
  readonly copyGBs: number;
}

/** Several times the last-level cache, or the figure would be the cache's. */
const STREAM_BYTES = 192 * 2 ** 20;
const FLOPS_PER_TURN = 48 * 4 * 2;
const PAGE = 65536;

/** The limits seen by the calling thread. */
export async function measureLimits(
  module: WebAssembly.Module,
  options: RaceOptions,
): Promise<Limits> {
  const { kernel, memory } = load(module, 2 * PAGE + STREAM_BYTES);
  // Small enough that the chains stay finite however long they run.
  new Float32Array(memory.buffer, 0, 8).fill(1e-3);
  const turns = 200_000;
  const madd = await timeAlone("madd", () => void kernel.multiplyAdd(0, turns), options);
  new Uint8Array(memory.buffer).fill(1, PAGE); // pages that were never written share one zero page
  const read = await timeAlone("read", () => void kernel.readForward(PAGE, STREAM_BYTES), options);
  const half = STREAM_BYTES / 2;
  const vector = () => kernel.copyForward(PAGE + half, PAGE, half);
  const bulk = () => kernel.copyBulk(PAGE + half, PAGE, half);
  const copy = await timeAlone("copy", vector, options);
  const bulkCopy = await timeAlone("bulk copy", bulk, options);
  return {
    gflops: turns * FLOPS_PER_TURN / madd.medianMs / 1e6,
    readGBs: STREAM_BYTES / read.medianMs / 1e6,
    copyGBs: STREAM_BYTES / Math.min(copy.medianMs, bulkCopy.medianMs) / 1e6,
  };
}

/** Nanoseconds of four exponentials. */
export async function measureExp(
  module: WebAssembly.Module,
  options: RaceOptions,
): Promise<number> {
  const { kernel, memory } = load(module, PAGE);
  const table = 0, from = EXP_TABLE_BYTES, bytes = 8192, repeats = 200;
  writeExpTable(memory, table);
  new Float32Array(memory.buffer, from, bytes / 4).fill(-1.3);
  const run = () => {
    for (let i = 0; i < repeats; i++) kernel.exponential(from + bytes, from, bytes, table);
  };
  const timing = await timeAlone("exp", run, options);
  return timing.medianMs * 1e6 / (repeats * bytes / 16);
}

function load(module: WebAssembly.Module, bytes: number) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  return { kernel: instance.exports as RooflineExports, memory };
}
