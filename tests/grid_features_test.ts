/** The part of the grid about options, one at a time; a file of its own, so that it runs beside tests/grid_test.ts. */

import { optionSections } from "./grid_features.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";

const file = "tests/grid_features_test.ts";

testGrid(bothPasses, optionSections, gridConfigurations, "in every way to call", file);
