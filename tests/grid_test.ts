import assert from "node:assert/strict";
import type { Case } from "./case.ts";
import { grid, gridNames, gridOfSets, sizeSections } from "./grid.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";
import { isInCore, isLong, sharesKernels } from "./selection.ts";

Deno.test("every case of the grid has a name of its own", () => {
  assert.equal(new Set(gridNames()).size, gridNames().length);
});

Deno.test("a GPU has every option in the core, with whatever else shares its kernels", () => {
  const optionsOf = (cases: readonly Case[]) =>
    new Set(cases.flatMap((c) => Object.entries(c).flatMap(([k, v]) => v === undefined ? [] : k)));
  const cases = grid.flatMap(({ cases }) => cases);
  assert.deepEqual(optionsOf(cases.filter(sharesKernels)), optionsOf(cases));
});

Deno.test("what is in the rest in turn leaves every form of every option to the core", () => {
  const sizes = ["batch", "queryHeads", "kvHeads", "lengthQ", "lengthK", "headDim", "valueDim"];
  const formsOf = (cases: readonly Case[]) =>
    new Set(cases.flatMap((c) =>
      Object.entries(c).filter(([name]) => !sizes.includes(name))
        .map(([name, form]) => `${name} ${JSON.stringify(form)}`)
    ));
  const cases = gridOfSets.flatMap(({ cases }) => cases.filter((c) => !isLong(c)));
  assert.deepEqual([...formsOf(cases).difference(formsOf(cases.filter(isInCore)))], []);
});

testGrid(
  bothPasses,
  sizeSections,
  gridConfigurations,
  "in every way to call",
  "tests/grid_test.ts",
);
