/** The part of the grid about functions; a file of its own, so that it runs beside tests/grid_features_test.ts. */

import { functionSections } from "./grid_features.ts";
import { bothPasses, gridConfigurations, testGrid } from "./run_grid.ts";

const file = "tests/grid_functions_test.ts";

testGrid(bothPasses, functionSections, gridConfigurations, "in every way to call", file);
