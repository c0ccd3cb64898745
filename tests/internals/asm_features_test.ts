/** A feature is its record and one file of each backend: on the CPU nothing else knows one by name. */

import assert from "node:assert/strict";
import { FEATURES } from "../../src/problem/features/table.ts";
import { abiName, gradientsOf } from "../../src/tensor/operands.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string) => Deno.readTextFileSync(new URL(path, root));

function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(new URL(`${folder}/`, root))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return filesUnder(`${folder}/${name}`);
    return name.endsWith(".ts") && !name.endsWith(".gen.ts") ? [`${folder}/${name}`] : [];
  });
}

/** Where hooks of a feature live. */
function asmFile(feature: string): string {
  return `asm/features/${feature.replaceAll(/[A-Z]/g, (x) => `_${x.toLowerCase()}`)}.ts`;
}

const asm = filesUnder("asm"), host = [...filesUnder("src/wasm"), ...filesUnder("src/plan/wasm")];
const kernelFeatures = FEATURES.filter(({ name }) => asm.includes(asmFile(name)));

Deno.test("features that kernels act on have a file of hooks", () => {
  const missing = FEATURES.filter((one) =>
    one.perScore && !one.runsAs && !kernelFeatures.includes(one)
  );
  assert.deepEqual(missing.map(({ name }) => name), []);
  assert.ok(kernelFeatures.some(({ name }) => name === "sink"));
});

Deno.test("no kernel knows a feature by name", () => {
  for (const { name, operands = [], scalars = {}, words = {} } of kernelFeatures) {
    const gradients = gradientsOf(Object.fromEntries(operands.map((operand) => [operand, true])));
    const numbers = [...Object.keys(scalars), ...Object.keys(words)];
    const names = [name, `${name}Gradient`, ...operands, ...gradients, ...numbers].map(abiName);
    const known = new RegExp(
      `\\b(Flag|Operand|Scalar)\\.(${names.join("|")})\\b|/features/${name}"`,
    );
    assert.ok(numbers.length === 0 || known.test(read(asmFile(name))), name);
    for (const file of asm) {
      if (file === asmFile(name)) continue;
      assert.ok(!known.test(read(file)), `${file} knows ${name}`);
    }
  }
});

Deno.test("neither staging nor planning for the CPU knows a feature by name", () => {
  for (const { name, operands = [] } of FEATURES) {
    const gradients = gradientsOf(Object.fromEntries(operands.map((operand) => [operand, true])));
    const names = [...new Set([name, ...operands, ...gradients])];
    // `as "Bias"` names the type of an enum, and nothing at run time
    const words = new RegExp(`(?<!as )"(${names.join("|")})"|\\.(${names.join("|")})\\b`);
    for (const file of host) assert.ok(!words.test(read(file)), `${file} knows ${name}`);
  }
});
