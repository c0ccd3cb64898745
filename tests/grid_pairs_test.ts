/** Several options at once, and every pair; a file of its own, so that it runs beside tests/grid_features_test.ts. */

import { combinedSections } from "./grid_features.ts";
import { pairSection } from "./grid_pairs.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";

const file = "tests/grid_pairs_test.ts";

testGrid(
  bothPasses,
  [...combinedSections, pairSection],
  gridConfigurations,
  "in every way to call",
  file,
);
