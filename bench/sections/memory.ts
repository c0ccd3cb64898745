/**
 * What the engine holds beyond the tensors: nothing may grow with the square of the length.
 * @module
 */

import { type Case, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { processMemory } from "../measure/machine.ts";
import { mebibytes, milliseconds, printTable } from "../measure/table.ts";
import { Subject, wasmEngine } from "../subjects/flashtile.ts";

export async function memorySection(context: Context): Promise<Measured[]> {
  const rows: string[][] = [], staged: Value[] = [], whole: Value[] = [];
  for (const c of context.cases("memory")) {
    // A fresh engine each: memory of a wasm module never shrinks.
    const engine = await wasmEngine(1);
    const before = processMemory("VmRSS");
    const subject = new Subject(engine, { c, data: operands(c), causal: false }, {}, "host");
    for (const pass of ["forward", "backward"] as const) {
      const start = performance.now();
      await subject[pass]();
      const ms = performance.now() - start, growth = processMemory("VmRSS") - before;
      const { total: wasmBytes, used, peak } = engine.memory, of = `${c.name} ${pass}`;
      const beyondStaged = wasmBytes - stagedBytes(c, pass);
      staged.push({ of, value: beyondStaged / 2 ** 20 });
      whole.push({ of, value: wasmBytes / 2 ** 20 });
      const sizes = [wasmBytes, beyondStaged, peak, used, growth];
      rows.push([of, ...sizes.map(mebibytes), milliseconds(ms)]);
      const row = { case: c.name, pass, wasmBytes, beyondStaged, peak, used, ms };
      context.results.add("memory", row);
    }
    engine.dispose();
  }
  const head = ["case", "wasm memory", "beyond staged", "peak in use", "in use after"];
  printTable("Memory, one thread, host tensors", [...head, "process growth", "first call"], rows);
  return Object.entries({ s16384: staged, s65536: whole }).map(([name, values]) => ({
    id: `wasm memory ${name}`,
    values: values.filter(({ of }) => of.startsWith(name)),
  }));
}

/** Operands and results of one kv head and its query heads, f32. */
function stagedBytes(c: Case, pass: "forward" | "backward"): number {
  const group = c.queryHeads / c.kvHeads;
  const query = group * c.lengthQ * c.headDim * 4, key = c.lengthK * c.headDim * 4;
  const lse = group * c.lengthQ * 4;
  // Forward: q, out; k, v. Backward: q, out, dOut, dq; k, v, dk, dv.
  return pass === "forward" ? 2 * query + 2 * key + lse : 4 * query + 4 * key + lse;
}
