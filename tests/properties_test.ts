/** Random problems against the oracle. The seed is fixed, a failure is shrunk, and its line reruns the shrunk case. */

import fc from "fast-check";
import { type Configuration, gpuConfiguration, wasmConfigurations } from "./backends.ts";
import type { Case } from "./case.ts";
import { rerunLine } from "./assert_close.ts";
import { randomCases } from "./random_cases.ts";
import { bothPasses, checkCase } from "./run_grid.ts";
import {
  elsewhere,
  everything,
  onlyCase,
  runTakes,
  sharesKernels,
  testUnless,
} from "./selection.ts";
import { sharedSessions } from "./sessions.ts";

const file = "tests/properties_test.ts";
const seed = 20260720;
const runs = runTakes("rest") ? 100 : 50;
/** Of options in any combination, each of which is texts to compile: the grid's sets of options in the rest are of the kind. */
const mixedRuns = runTakes("all") ? 60 : 8;
/** On a GPU in the core, of kernels that other tests compile as well. */
const gpuRuns = 30;

/** On a GPU each pair of dims, storage format and number of decode rows is a kernel to compile: only the rest varies. */
const gpuCases: fc.Arbitrary<Case> = randomCases.map((c) => ({
  ...c,
  headDim: 20,
  valueDim: 20,
  dtype: "f32" as const,
  storage: "bits" as const,
  lengthQ: Math.max(8, c.lengthQ),
  rotary: c.rotary && { ...c.rotary, dims: 8 },
  // many more kernels; pairs of options and one at a time have these
  ...{ dropout: undefined, scoreMod: undefined, maskMod: undefined, blockMask: undefined },
}));

/** Options whose kernels the core has. */
const ofCore: fc.Arbitrary<Partial<Case>> = fc.constantFrom({}, everything);

/** What other tests compile as well. */
const sharedGpuCases = fc.tuple(gpuCases, ofCore).map(([c, option]): Case => {
  const { softcap: _1, alibiSlopes: _2, bias: _3, biasHoles: _4, mask: _5, ...some } = c;
  const { sink: _6, dropout: _7, scoreMod: _8, maskMod: _9, ...rest } = some;
  const arrangement = c.arrangement === "transposed" ? c.arrangement : "packed";
  return { ...rest, arrangement, queryHeads: 2 * c.kvHeads, ...option };
}).filter(sharesKernels);

const of = (n: number) => `${bothPasses.name} beside the oracle on ${n} random problems`;
testRandomCases(randomCases, wasmConfigurations, { name: of(runs), numRuns: runs });
if (runTakes("core")) {
  testRandomCases(sharedGpuCases, [gpuConfiguration], {
    name: `${of(gpuRuns)}, on a GPU`,
    numRuns: gpuRuns,
  });
}
testRandomCases(gpuCases, [gpuConfiguration], {
  name: `${of(mixedRuns)} of options in any combination, on a GPU`,
  numRuns: mixedRuns,
  why: elsewhere("rest"),
});

function testRandomCases(
  cases: fc.Arbitrary<Case>,
  configurations: readonly Configuration[],
  { name, numRuns, why }: {
    readonly name: string;
    readonly numRuns: number;
    readonly why?: string | undefined;
  },
): void {
  const open = sharedSessions(configurations.filter(({ part }) => !part || runTakes(part)));
  Deno.test({
    ...testUnless(why, name),
    async fn() {
      const sessions = await open();
      const check = (c: Case) => {
        const json = JSON.stringify(c);
        return checkCase(bothPasses, c, sessions, file, rerunLine(json, file));
      };
      const only = onlyCase();
      if (only !== undefined) return await check(JSON.parse(only));
      await fc.assert(fc.asyncProperty(cases, check), { seed, numRuns });
    },
  });
}
