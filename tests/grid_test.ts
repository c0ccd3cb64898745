import assert from "node:assert/strict";
import { engineConfigurations, syncConfiguration } from "./backends.ts";
import { gridNames, sizeSections, smallCases } from "./grid.ts";
import { bothPasses, testGrid } from "./run_grid.ts";

const file = "tests/grid_test.ts";

Deno.test("every case of the grid has a name of its own", () => {
  assert.equal(new Set(gridNames()).size, gridNames().length);
});

testGrid(bothPasses, sizeSections, engineConfigurations, "on every build", file);
testGrid(bothPasses, smallCases(sizeSections), [syncConfiguration], "without await", file);
