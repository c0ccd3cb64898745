/** The grid on resident tensors; a file of its own, so that it runs beside tests/grid_test.ts. */

import { residentConfigurations } from "./backends.ts";
import { grid, residentCases } from "./grid.ts";
import { bothPasses, testGrid } from "./run_grid.ts";

testGrid(
  bothPasses,
  residentCases(grid),
  residentConfigurations,
  "on resident tensors",
  "tests/grid_resident_test.ts",
);
