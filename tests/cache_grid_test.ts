import { cachedConfigurations } from "./cache_session.ts";
import { gridOfSets, smallCases } from "./grid.ts";
import { forwardPass, testGrid } from "./run_grid.ts";

testGrid(
  forwardPass,
  smallCases(gridOfSets),
  cachedConfigurations,
  "on caches",
  "tests/cache_grid_test.ts",
);
