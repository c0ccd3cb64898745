/**
 * `deno task bench:gpu`: `bench/main.ts --backend=webgpu`, and `--only=sweep`, the tile sweep of
 * tools/tune with its options.
 * @module
 */

import { SWEEP_FLAGS } from "../../tools/tune/options.ts";
import { sweepSection } from "../../tools/tune/sweep.ts";
import { bench } from "../main.ts";

await bench(["--backend=webgpu", ...Deno.args], {
  sections: { sweep: sweepSection },
  options: SWEEP_FLAGS,
});
Deno.exit();
