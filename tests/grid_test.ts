import assert from "node:assert/strict";
import { gridNames, sizeSections } from "./grid.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";

Deno.test("every case of the grid has a name of its own", () => {
  assert.equal(new Set(gridNames()).size, gridNames().length);
});

testGrid(
  bothPasses,
  sizeSections,
  gridConfigurations,
  "in every way to call",
  "tests/grid_test.ts",
);
