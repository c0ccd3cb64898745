import { engineConfigurations, syncConfiguration } from "./backends.ts";
import { grid, smallCases } from "./grid.ts";
import { backwardPass, testGrid } from "./run_grid.ts";

const file = "tests/backward_test.ts";

testGrid(backwardPass, grid, engineConfigurations, "on every build", file);
testGrid(backwardPass, smallCases(grid), [syncConfiguration], "without await", file);
