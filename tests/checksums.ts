/**
 * Prints a hash of every result of the grid on WASM, both builds, one and two threads: a line for each pass, case
 * and configuration. Two checkouts that print the same compute the same bits:
 *
 *     deno run -A tests/checksums.ts >after.txt
 */

import { createHash } from "node:crypto";
import { wasmConfigurations } from "./backends.ts";
import { caseName } from "./case.ts";
import { grid } from "./grid.ts";
import { makeInputs } from "./inputs.ts";
import type { TestTensor } from "./reference/problem.ts";

function hash(results: object): string {
  const sum = createHash("sha256");
  for (const [name, value] of Object.entries(results)) {
    const { data, shape } = value as TestTensor;
    sum.update(`${name} ${shape} `);
    sum.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return sum.digest("hex").slice(0, 24);
}

for (const { name, open } of wasmConfigurations) {
  const session = await open();
  if ("absent" in session) throw new Error(`no ${name}: ${session.absent}`);
  for (const c of grid.flatMap(({ cases }) => cases)) {
    const inputs = makeInputs(c), forward = await session.forward(inputs);
    console.log(`${hash(forward)} attention, ${name}, ${caseName(c)}`);
    const backward = await session.backward(inputs, forward);
    console.log(`${hash(backward)} attentionBackward, ${name}, ${caseName(c)}`);
  }
  await session[Symbol.asyncDispose]();
}
