/** Backward on resident tensors; a file of its own, so that it runs beside tests/backward_test.ts. */

import { residentConfigurations } from "./backends.ts";
import { grid, residentCases } from "./grid.ts";
import { backwardPass, testGrid } from "./run_grid.ts";

testGrid(
  backwardPass,
  residentCases(grid),
  residentConfigurations,
  "on resident tensors",
  "tests/backward_resident_test.ts",
);
