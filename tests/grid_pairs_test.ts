/** Every pair of options; a file of its own, so that it runs beside tests/grid_features_test.ts. */

import { pairSection } from "./grid_pairs.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";

const file = "tests/grid_pairs_test.ts";

testGrid(
  bothPasses,
  [pairSection],
  gridConfigurations,
  "in every way to call",
  file,
);
