/** The part of the grid about options; a file of its own, so that it runs beside tests/grid_test.ts. */

import { engineConfigurations, syncConfiguration } from "./backends.ts";
import { smallCases } from "./grid.ts";
import { featureSections } from "./grid_features.ts";
import { bothPasses, testGrid } from "./run_grid.ts";

const file = "tests/grid_features_test.ts";

testGrid(bothPasses, featureSections, engineConfigurations, "on every build", file);
testGrid(bothPasses, smallCases(featureSections), [syncConfiguration], "without await", file);
