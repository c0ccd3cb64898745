/**
 * What WebAssembly can do at most on this machine: multiply-adds, exponentials, memory.
 * @module
 */

import type { Limits } from "../context.ts";
import type { RaceOptions } from "../measure/race.ts";
import type { Results } from "../measure/store.ts";
import { digits3, printTable } from "../measure/table.ts";
import { timeAlone } from "../measure/wall_clock.ts";
import { asmModule, instantiate, OPERANDS } from "../subjects/asm.ts";

/** Exports of bench/asm/roofline.ts. */
interface RooflineKernel {
  multiplyAdd(operands: number, turns: number): number;
  readForward(from: number, bytes: number): number;
  copyForward(to: number, from: number, bytes: number): void;
  copyBulk(to: number, from: number, bytes: number): void;
  exponential(to: number, from: number, bytes: number): void;
}

/** Limits of `threads` cores together: sequential reads and copies are of DRAM. */
export interface Roofline extends Limits {
  readonly threads: number;
  /** Nanoseconds for four exponentials, data in the first-level cache. One thread. */
  readonly expNs: number;
}

/** Several times the last-level cache, or the figure would be the cache's. */
const STREAM_BYTES = 192 * 2 ** 20;
const FLOPS_PER_TURN = 24 * 4 * 2;

/** Measures, prints and keeps the limits of each number of threads. */
export async function measureRooflines(
  threads: readonly number[],
  options: RaceOptions,
  results: Results,
): Promise<Roofline[]> {
  const module = await asmModule("roofline");
  const all: Roofline[] = [];
  for (const count of threads) {
    const expNs = await measureExp(module, options);
    const parts = count === 1
      ? [await measureThread(module, options)]
      : await measureTogether(module, count, options);
    const sum = (limit: "gflops" | "readGBs" | "copyGBs") =>
      parts.reduce((sum, part) => sum + part[limit], 0);
    all.push({
      ...{ threads: count, gflops: sum("gflops"), expNs },
      ...{ readGBs: sum("readGBs"), copyGBs: sum("copyGBs") },
    });
  }
  for (const limits of all) results.add("roofline", { ...limits });
  const head = ["threads", "relaxed_madd", "read DRAM", "copy (read + write)", "4 exponentials"];
  const rows = all.map(({ threads, gflops, readGBs, copyGBs, expNs }) => [
    ...[String(threads), `${digits3(gflops)} GFLOP/s`],
    ...[`${digits3(readGBs)} GB/s`, `${digits3(copyGBs)} GB/s`, `${digits3(expNs)} ns`],
  ]);
  printTable("Limits of this machine, measured now", head, rows);
  return all;
}

/** All threads run the same sequence at the same time, each on memory of its own. */
async function measureTogether(
  module: WebAssembly.Module,
  threads: number,
  options: RaceOptions,
): Promise<Limits[]> {
  const url = new URL("./wasm_worker.ts", import.meta.url);
  const workers = Array.from({ length: threads }, () => new Worker(url, { type: "module" }));
  try {
    return await Promise.all(workers.map((worker) =>
      new Promise<Limits>((resolve, reject) => {
        worker.onmessage = (event: MessageEvent<Limits>) => resolve(event.data);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage([module, options]);
      })
    ));
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

/** The limits seen by the calling thread. */
export async function measureThread(
  module: WebAssembly.Module,
  options: RaceOptions,
): Promise<Limits> {
  const { kernel, memory } = instantiate<RooflineKernel>(module, STREAM_BYTES);
  const from = OPERANDS, half = STREAM_BYTES / 2, turns = 400_000;
  // Small enough that the chains stay finite however long they run.
  new Float32Array(memory.buffer, from, 8).fill(1e-3);
  const madd = await timeAlone("madd", () => void kernel.multiplyAdd(from, turns), options);
  new Uint8Array(memory.buffer, from).fill(1); // pages that were never written share one zero page
  const read = await timeAlone("read", () => void kernel.readForward(from, STREAM_BYTES), options);
  const vector = () => kernel.copyForward(from + half, from, half);
  const bulk = () => kernel.copyBulk(from + half, from, half);
  const copy = await timeAlone("copy", vector, options);
  const bulkCopy = await timeAlone("bulk copy", bulk, options);
  return {
    gflops: turns * FLOPS_PER_TURN / madd / 1e6,
    readGBs: STREAM_BYTES / read / 1e6,
    copyGBs: STREAM_BYTES / Math.min(copy, bulkCopy) / 1e6,
  };
}

/** Nanoseconds of four exponentials. */
async function measureExp(module: WebAssembly.Module, options: RaceOptions): Promise<number> {
  const from = OPERANDS, bytes = 8192, repeats = 200;
  const { kernel, memory } = instantiate<RooflineKernel>(module, 2 * bytes);
  new Float32Array(memory.buffer, from, bytes / 4).fill(-1.3);
  const run = () => {
    for (let i = 0; i < repeats; i++) kernel.exponential(from + bytes, from, bytes);
  };
  return await timeAlone("exp", run, options) * 1e6 / (repeats * bytes / 16);
}
