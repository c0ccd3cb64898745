/**
 * Everything that fills `src/plan/webgpu/tiles.ts`: the fastest tile of each kernel and head
 * dimension on this device, and the KV splits and threads of decode. Only when it is asked for.
 * @module
 */

import { caseOf } from "../../bench/cases.ts";
import type { Context } from "../../bench/context.ts";
import type { Measured } from "../../bench/goals.ts";
import { reasonOf } from "../../bench/measure/statistics.ts";
import { Results } from "../../bench/measure/store.ts";
import { digits3 } from "../../bench/measure/table.ts";
import { sweepDecode } from "./decode.ts";
import { SweepDevice } from "./device.ts";
import { Deadline, type SweepOptions, sweepOptions, type SweptKernel } from "./options.ts";
import { reportCombination, suggestion } from "./report.ts";
import { sweepTiles, type SweptCase } from "./tiles.ts";

/** Rows of all heads: enough workgroups for the largest GPU. */
const ROWS = { software: 512, hardware: 65536 };
const MOST_HEADS = 64;
/** A launch at a quarter of the peak should not take longer: watchdogs. */
const LAUNCH_MS = 700;
/** Time for decode, of which there is one for all dims. */
const DECODE_SHARE = 2;

export async function sweepSection(context: Context): Promise<Measured[]> {
  const { gflops: peak } = await context.limits();
  const options = sweepOptions(context.flags, context.gpu!.software);
  const device = await SweepDevice.open(), deadline = new Deadline(options.seconds * 1000);
  const suggestions: string[] = [];
  // dims in the outer loop, so that a sweep that ends early has every kernel
  const jobs = options.dims.flatMap((dim, n) =>
    options.kernels.filter((kernel) => n === 0 || kernel !== "decode")
      .map((kernel) => ({ kernel, dim: kernel === "decode" ? 0 : dim }))
  );
  for (const [n, { kernel, dim }] of jobs.entries()) {
    const weight = kernel === "decode" ? DECODE_SHARE : 1;
    const share = deadline.share(weight / (jobs.length - n - 1 + weight));
    const results = new Results();
    console.log(`\nsweep: ${kernel}${dim ? ` D ${dim}` : ""}, ${digits3(share.leftMs / 1000)} s`);
    try {
      if (kernel === "decode") {
        suggestions.push(...await sweepDecode(context, options, device, share, results));
      } else {
        const cases = casesOf(kernel, dim, options, peak);
        const found = await sweepTiles(device, kernel, options, cases, share);
        for (const combination of found) reportCombination(combination, peak, results);
        const left = cases.length - found.length;
        if (left) console.log(`${left} cases left out`);
        if (found.length) suggestions.push(...suggestion(found, peak));
      }
    } catch (error) {
      console.error(`${kernel} D ${dim} failed: ${reasonOf(error)}`);
      Deno.exitCode = 1;
      if (device.open.lost) break;
    }
    context.store(results);
    device.forgetPipelines();
  }
  console.log("\nSuggested for src/plan/webgpu/tiles.ts:");
  for (const line of suggestions) console.log(line);
  return [];
}

/** Cases of a head dimension; the first is the one where all tiles are tried. */
function casesOf(
  kernel: SweptKernel,
  dim: number,
  { lengths, heads, causal, software }: SweepOptions,
  peakGflops: number,
): SweptCase[] {
  const cases = lengths.flatMap((length) => {
    const flops = 2 * length * length * dim * (kernel === "forward" ? 2 : 7);
    const most = Math.floor(LAUNCH_MS * 1e6 * peakGflops / 4 / flops);
    const filling = Math.floor((software ? ROWS.software : ROWS.hardware) / length);
    const counts = heads ?? [Math.max(1, Math.min(MOST_HEADS, filling, most))];
    return counts.filter((count) => {
      if (software || count <= most) return true;
      console.log(`1x${count}x${length}x${dim}: a launch may take seconds; ${most} heads would do`);
      return false;
    }).map((count) => caseOf(`1x${count}x${length}x${dim}`));
  });
  return causal.flatMap((hides) => cases.map((c) => ({ c, causal: hides })));
}
