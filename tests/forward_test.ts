import assert from "node:assert/strict";
import { engineConfigurations, residentConfigurations, syncConfiguration } from "./backends.ts";
import { grid, gridNames, residentCases, smallCases } from "./grid.ts";
import { forwardPass, testGrid } from "./run_grid.ts";

const file = "tests/forward_test.ts";

Deno.test("every case of the grid has a name of its own", () => {
  assert.equal(new Set(gridNames()).size, gridNames().length);
});

testGrid(forwardPass, grid, engineConfigurations, "on every build", file);
testGrid(forwardPass, smallCases(grid), [syncConfiguration], "without await", file);
testGrid(forwardPass, residentCases(grid), residentConfigurations, "on resident tensors", file);
