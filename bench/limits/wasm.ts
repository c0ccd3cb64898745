/**
 * The machine's limits, measured in the same run as the figures they are compared with:
 * multiply-adds, exponentials, memory. Runs alone too: `deno run -A bench/limits/wasm.ts`.
 * @module
 */

import { compileAsm } from "../compile_asm.ts";
import { describeMachine, machineLine } from "../measure/machine.ts";
import { type Limits, measureExp, measureLimits } from "./wasm_thread.ts";
import type { RaceOptions } from "../measure/race.ts";
import { digits3, printTable } from "../measure/table.ts";

/** Limits of `threads` cores together. */
export interface Roofline {
  readonly threads: number;
  /** relaxed_madd, twelve independent chains. */
  readonly gflops: number;
  /** Sequential reads from DRAM. */
  readonly readGBs: number;
  /** Copies in DRAM, bytes read plus bytes written. */
  readonly copyGBs: number;
  /** Nanoseconds for four exponentials, data in the first-level cache. One thread. */
  readonly expNs: number;
}

let compiled: Promise<WebAssembly.Module> | undefined;

/** Measures the limits of one core, or of several at the same time. */
export async function measureRoofline(
  threads = 1,
  options: RaceOptions = {},
): Promise<Roofline> {
  compiled ??= compileAsm("bench/asm/roofline");
  const module = await compiled;
  const expNs = await measureExp(module, options);
  const parts = threads === 1
    ? [await measureLimits(module, options)]
    : await measureTogether(module, threads, options);
  const sum = (pick: (limits: Limits) => number) => parts.reduce((a, b) => a + pick(b), 0);
  return {
    threads,
    gflops: sum((p) => p.gflops),
    readGBs: sum((p) => p.readGBs),
    copyGBs: sum((p) => p.copyGBs),
    expNs,
  };
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
        worker.postMessage({ module, options });
      })
    ));
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

/** The table at the top of every report. */
export function printRoofline(limits: readonly Roofline[]): void {
  const rows = limits.map((r) => [
    String(r.threads),
    `${digits3(r.gflops)} GFLOP/s`,
    `${digits3(r.readGBs)} GB/s`,
    `${digits3(r.copyGBs)} GB/s`,
    `${digits3(r.expNs)} ns`,
  ]);
  const head = ["threads", "relaxed_madd", "read DRAM", "copy (read + write)", "4 exponentials"];
  printTable("Limits of this machine, measured now", head, rows);
}

if (import.meta.main) {
  console.log(machineLine(describeMachine()));
  printRoofline([await measureRoofline(1), await measureRoofline(2)]);
}
