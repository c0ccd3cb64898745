import assert from "node:assert/strict";
import type { Case } from "./case.ts";
import { grid, gridNames, sizeSections } from "./grid.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";
import { sharesKernels } from "./selection.ts";

Deno.test("every case of the grid has a name of its own", () => {
  assert.equal(new Set(gridNames()).size, gridNames().length);
});

Deno.test("a GPU has every option in the core, with whatever else shares its kernels", () => {
  const optionsOf = (cases: readonly Case[]) =>
    new Set(cases.flatMap((c) => Object.entries(c).flatMap(([k, v]) => v === undefined ? [] : k)));
  const cases = grid.flatMap(({ cases }) => cases);
  assert.deepEqual(optionsOf(cases.filter(sharesKernels)), optionsOf(cases));
});

testGrid(
  bothPasses,
  sizeSections,
  gridConfigurations,
  "in every way to call",
  "tests/grid_test.ts",
);
