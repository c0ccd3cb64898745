import { cachedConfigurations } from "./cache_session.ts";
import { grid, smallCases } from "./grid.ts";
import { forwardPass, testGrid } from "./run_grid.ts";

testGrid(
  forwardPass,
  smallCases(grid),
  cachedConfigurations,
  "on caches",
  "tests/cache_grid_test.ts",
);
