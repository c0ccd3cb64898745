/**
 * The unfused baseline alone, without the library: `deno run -A bench/unfused.ts`. Beside the fused
 * kernel it is a section of the report (`deno task bench --only=unfused`).
 * @module
 */

import { describeMachine, machineLine } from "./measure/machine.ts";
import { digits3, printTable } from "./measure/table.ts";
import { unfusedSpeed } from "./subjects/unfused_wasm.ts";

const LENGTHS = [16, 32, 64, 128, 256, 512, 1024];

console.log(machineLine(describeMachine()));
const rows: string[][] = [];
for (const headDim of [32, 64, 128]) {
  const speeds: string[] = [];
  for (const length of LENGTHS) {
    speeds.push(digits3(await unfusedSpeed(length, headDim, { budgetMs: 1000 })));
  }
  rows.push([`D ${headDim}`, ...speeds]);
}
printTable("Unfused attention, 12 heads, one thread, GFLOP/s", ["L", ...LENGTHS.map(String)], rows);
