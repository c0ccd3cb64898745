/**
 * What the engine holds beyond the tensors: nothing may grow with the square of the length.
 * @module
 */

import { type Case, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { processMemory } from "../measure/machine.ts";
import { mebibytes, milliseconds, printTable } from "../measure/table.ts";
import { Subject, wasmEngine } from "../subjects/flashtile.ts";

const MIB = 2 ** 20;

interface Use {
  readonly name: string;
  readonly wasmBytes: number;
  /** Beyond the operands and results of one head group, which a call has to stage. */
  readonly beyondStaged: number;
}

export async function memorySection(context: Context): Promise<Measured[]> {
  const uses: Use[] = [];
  const rows: string[][] = [];
  for (const c of context.cases("memory")) {
    const { name } = c;
    // A fresh engine each: memory of a wasm module never shrinks.
    const engine = await wasmEngine(1);
    const before = processMemory("VmRSS");
    const subject = new Subject(engine, { c, data: operands(c), causal: false }, {}, "host");
    for (const pass of ["forward", "backward"] as const) {
      const start = performance.now();
      await subject[pass]();
      const ms = performance.now() - start;
      const { total: wasmBytes, used, peak } = engine.memory;
      const beyondStaged = wasmBytes - stagedBytes(c, pass);
      uses.push({ name: `${name} ${pass}`, wasmBytes, beyondStaged });
      rows.push([
        `${name} ${pass}`,
        mebibytes(wasmBytes),
        mebibytes(beyondStaged),
        mebibytes(peak),
        mebibytes(used),
        mebibytes(processMemory("VmRSS") - before),
        milliseconds(ms),
      ]);
      const row = { case: name, pass, wasmBytes, beyondStaged, peak, used, ms };
      context.results.add("memory", row);
    }
    engine.dispose();
  }
  const head = ["case", "wasm memory", "beyond staged", "peak in use", "in use after"];
  printTable("Memory, one thread, host tensors", [...head, "process growth", "first call"], rows);
  const values = (part: string, pick: (use: Use) => number) =>
    uses.filter((use) => use.name.startsWith(part))
      .map((use) => ({ of: use.name, value: pick(use) / MIB }));
  return [
    { id: "wasm memory s16384", values: values("s16384", (use) => use.beyondStaged) },
    { id: "wasm memory s65536", values: values("s65536", (use) => use.wasmBytes) },
  ];
}

/** Operands and results of one kv head and its query heads, f32. */
function stagedBytes(c: Case, pass: "forward" | "backward"): number {
  const group = c.queryHeads / c.kvHeads;
  const query = group * c.lengthQ * c.headDim * 4;
  const key = c.lengthK * c.headDim * 4;
  const lse = group * c.lengthQ * 4;
  // Forward: q, out; k, v. Backward: q, out, dOut, dq; k, v, dk, dv.
  return pass === "forward" ? 2 * query + 2 * key + lse : 4 * query + 4 * key + lse;
}
