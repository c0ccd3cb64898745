/** The part of the grid about options; a file of its own, so that it runs beside tests/grid_test.ts. */

import { featureSections } from "./grid_features.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";

const file = "tests/grid_features_test.ts";

testGrid(bothPasses, featureSections, gridConfigurations, "in every way to call", file);
