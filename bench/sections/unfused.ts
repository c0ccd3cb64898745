/**
 * Fused against unfused: from which length on does fusing pay? The rival is our own unfused
 * attention (bench/asm/unfused.ts), made of the same register tiles.
 * @module
 */

import { type Case, caseOf, forwardFlops, type Operands, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { race } from "../measure/race.ts";
import { rate, timingFields } from "../measure/statistics.ts";
import { digits3, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { wholeError } from "../oracle.ts";
import { asmModule, instantiate, OPERANDS } from "../subjects/asm.ts";
import { Subject } from "../subjects/flashtile.ts";
import { mapTuple } from "../../tests/tuples.ts";

const LENGTHS = [16, 32, 64, 128, 256, 512, 1024];
const HEADS = 12;

/** No goal of its own: where unfused wins, the planner should use it. */
export async function unfusedSection(context: Context): Promise<Measured[]> {
  const module = await asmModule("unfused");
  check(module);
  const engine = await context.engine();
  const rows: string[][] = [];
  for (const headDim of [32, 64, 128]) {
    for (const length of context.quick ? [16, 128] : LENGTHS) {
      const c = caseOf(`1x${HEADS}x${length}x${headDim}`, `u${length}d${headDim}`);
      const data = operands(c);
      const call = { c, data, causal: false };
      const resident = new Subject(engine, call), host = new Subject(engine, call, {}, "host");
      const unfused = prepare(module, c, data);
      // What a call with host tensors would be: operands in, kernel, a fresh array out.
      const wholeCall = () => {
        unfused.load();
        unfused.run();
        unfused.output();
      };
      const timings = await race(wallClock, [
        { name: "fused", run: () => resident.forwardSync() },
        { name: "unfused", run: () => unfused.run() },
        { name: "fused, copies", run: () => host.forwardSync() },
        { name: "unfused, copies", run: wholeCall },
      ], context.race);
      resident.dispose();
      const gain = (at: number) => times(timings[at + 1]!.medianMs / timings[at]!.medianMs);
      const [a, b, ...copies] = mapTuple(timings, (t) => digits3(rate(forwardFlops(c), t)));
      rows.push([`D ${headDim}, L ${length}`, a, b, gain(0), ...copies, gain(2)]);
      for (const timing of timings) {
        const row = { case: c.name, heads: HEADS, kind: timing.name };
        context.results.add("unfused", { ...row, ...timingFields(timing) });
      }
    }
  }
  const head = ["12 heads", "fused", "unfused", "gain", "fused, copies", "unfused, copies", "gain"];
  printTable("Fused against unfused, GFLOP/s, one thread", head, rows);
  return [];
}

interface Kernel {
  scratchBytes(length: number, columns: number): number;
  /** q, k, v, o, heads, length, columns, scale, scratch. */
  attend(...operands: number[]): void;
}

/** A case with its operands in the kernel's own memory: plain self-attention, multiples of 8. */
function prepare(module: WebAssembly.Module, c: Case, data: Operands) {
  const count = data.q.length, sizes = [c.batch * c.queryHeads, c.lengthK, c.headDim];
  const { kernel, memory } = instantiate<Kernel>(module, 4 * 4 * count);
  memory.grow(Math.ceil(kernel.scratchBytes(c.lengthK, c.headDim) / 65536));
  const places = [0, 1, 2, 3, 4].map((i) => OPERANDS + i * 4 * count), scratch = places[4]!;
  const arrays = places.slice(0, 4).map((at) => new Float32Array(memory.buffer, at, count));
  const load = () => [data.q, data.k, data.v].forEach((x, i) => arrays[i]!.set(x));
  load();
  const scale = 1 / Math.sqrt(c.headDim);
  const run = () => kernel.attend(...places.slice(0, 4), ...sizes, scale, scratch);
  return { load, run, output: () => arrays[3]!.slice() };
}

function check(module: WebAssembly.Module): void {
  const c = caseOf("1x2x72x40"), data = operands(c), unfused = prepare(module, c, data);
  unfused.run();
  const error = wholeError({ c, data, causal: false }, { out: unfused.output() });
  if (!(error < 1e-5)) throw new Error(`the unfused baseline is wrong by ${error}`);
}
