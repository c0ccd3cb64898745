/**
 * What the engine holds beyond the tensors: nothing may grow with the square of the length.
 * @module
 */

import { type Case, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { processMemory } from "../measure/machine.ts";
import { mebibytes, milliseconds, printTable } from "../measure/table.ts";
import { type Engine, Subject, wasmEngine } from "../subjects/flashtile.ts";

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
  await budgetSection(context);
  return Object.entries({ s16384: staged, s65536: whole }).map(([name, values]) => ({
    id: `wasm memory ${name}`,
    values: values.filter(({ of }) => of.startsWith(name)),
  }));
}

/** Rounds in which both engines take turns; one where a call takes half a minute. */
const rounds = (c: Case): number => c.lengthK > 20000 ? 1 : 7;

/**
 * The same within a budget of what the keys and values of a head take alone: a chunk of the keys at a time. With and without
 * it in turn.
 */
async function budgetSection(context: Context): Promise<void> {
  const rows: string[][] = [];
  for (const c of context.cases("memory")) {
    const memoryBudget = 2 * c.lengthK * c.headDim * 4, data = operands(c);
    const open = [{}, { memoryBudget }].map((options) => wasmEngine(1, options));
    const [plain, budgeted] = await Promise.all(open) as [Engine, Engine];
    const subjects = [plain, budgeted].map((engine) =>
      new Subject(engine, { c, data, causal: false }, {}, "host")
    );
    for (const pass of ["forward", "backward"] as const) {
      const times: [number[], number[]] = [[], []];
      for (let round = 0; round < rounds(c); round++) {
        for (const n of [0, 1] as const) {
          const start = performance.now();
          await subjects[n]![pass]();
          times[n].push(performance.now() - start);
        }
      }
      const [without, within] = times.map(median) as [number, number];
      const { total, peak } = budgeted.memory, slower = within / without;
      const sizes = [memoryBudget, total, peak, plain.memory.total].map(mebibytes);
      rows.push([`${c.name} ${pass}`, ...sizes, milliseconds(within), `${slower.toFixed(3)} ×`]);
      const row = { case: c.name, pass, memoryBudget, total, peak, without, within, slower };
      context.results.add("memory budget", row);
      const [want, got] = await Promise.all(subjects.map((subject) => subject.results(pass)));
      assertAlike(Object.values(got!), Object.values(want!));
    }
    for (const engine of [plain, budgeted]) engine.dispose();
  }
  const head = ["case", "budget", "wasm memory", "peak in use", "memory without", "call"];
  printTable("Within a memoryBudget, one thread, host tensors", [...head, "without one"], rows);
}

const median = (times: readonly number[]): number =>
  times.toSorted((a, b) => a - b)[times.length >> 1]!;

/** Throws where results differ by more than roundings. */
function assertAlike(got: readonly Float32Array[], want: readonly Float32Array[]): void {
  want.forEach((values, n) => {
    const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const wrong = values.some((x, i) => !(Math.abs(x - got[n]![i]!) <= 1e-5 * largest));
    if (wrong) throw new Error("results within a budget differ from those without");
  });
}

/** Operands and results of one kv head and its query heads, f32. */
function stagedBytes(c: Case, pass: "forward" | "backward"): number {
  const group = c.queryHeads / c.kvHeads;
  const query = group * c.lengthQ * c.headDim * 4, key = c.lengthK * c.headDim * 4;
  const lse = group * c.lengthQ * 4;
  // Forward: q, out; k, v. Backward: q, out, dOut, dq; k, v, dk, dv.
  return pass === "forward" ? 2 * query + 2 * key + lse : 4 * query + 4 * key + lse;
}
