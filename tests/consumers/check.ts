// Checks of what consumers return.
import { ok } from "node:assert/strict";
import { availableParallelism } from "node:os";
import type { Numbers, OnceReport, ScriptReport, TfjsReport, TourReport } from "./apps/messages.ts";
import { type Reference, reference } from "./reference.ts";

/** Largest error that is accepted, as a share of the largest value of the tensor. */
const TOLERANCE = 1e-5;
/** Milliseconds a process may take to end once its work is done. */
const END_MS = 2000;

let want: Reference | undefined;

/** Compares all five tensors with the float64 reference; returns the largest relative error. */
export function checkNumbers(got: Numbers): number {
  want ??= reference();
  let worst = 0;
  for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
    const expected: Float64Array = want[name], actual: readonly number[] = got[name];
    ok(
      actual?.length === expected.length,
      `${name} has ${actual?.length} numbers, wanted ${expected.length}`,
    );
    const size = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    expected.forEach((x, i) => {
      const error = Math.abs(actual[i]! - x) / size;
      // written so that NaN fails
      ok(error <= TOLERANCE, `${name}[${i}] is ${actual[i]}, wanted ${x}`);
      worst = Math.max(worst, error);
    });
  }
  return worst;
}

/** An engine must give the same bits again, whether or not its threads were up the first time. */
function checkSameBits(a: Numbers, b: Numbers): void {
  for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
    const at = a[name].findIndex((x, i) => !Object.is(x, b[name][i]));
    ok(at < 0, `${name}[${at}] is ${a[name][at]}, then ${b[name][at]}`);
  }
}

/** A process must end soon after its last line. */
function checkEnd(at: number, end: number): void {
  ok(end - at < END_MS, `the process ended ${end - at} ms after its work, wanted < ${END_MS} ms`);
}

/** Short text for the largest error. */
export function showError(worst: number): string {
  return `largest error ${worst.toExponential(1)}`;
}

/** What is wanted of a tour beside right numbers. */
export interface Wanted {
  /** Exactly so many threads; any number where nothing is said. */
  readonly threads?: number;
  /** The reason must name this, as what to do for more threads. */
  readonly remedy?: string;
  /** Workers with a memory of their own that a large call must have had. */
  readonly workers?: number;
}

/** Decoded token by token, the last rows of out are the same. */
function checkDecoded(decoded: readonly number[]): number {
  want ??= reference();
  const all = want.out, size = all.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const tail = all.subarray(all.length - decoded.length);
  ok(decoded.length > 0, "nothing was decoded");
  return decoded.reduce((worst, x, i) => {
    const error = Math.abs(x - tail[i]!) / size;
    ok(error <= TOLERANCE, `decoded[${i}] is ${x}, wanted ${tail[i]}`);
    return Math.max(worst, error);
  }, 0);
}

/** A host's tour: numbers, a decoder's, the error of a wrong call, threads that are up or why there are none. */
export function checkTour(
  report: TourReport,
  { threads: wanted, remedy, workers }: Wanted = {},
): string {
  const { numbers, decoded, mistake, backend, reason, threads, ready } = report;
  const worst = Math.max(checkNumbers(numbers), checkDecoded(decoded));
  ok(mistake.name === "RangeError", `a wrong call: ${mistake.name} ${mistake.message}`);
  ok(/^Cannot run attention: v /.test(mistake.message), mistake.message);
  const said = backend === "wasm" ? "WASM with " : "WebGPU on "; // where "auto" finds a GPU
  ok(reason.startsWith(said), `${backend}: ${reason}`);
  if (wanted !== undefined) {
    ok(threads === wanted, `the engine has ${threads} threads, wanted ${wanted}: ${reason}`);
  }
  if (remedy !== undefined) {
    ok(reason.includes(remedy), `the reason does not name ${remedy}: ${reason}`);
  } else if (threads > 1) { // of WASM: a GPU has 0
    ok(ready > 0, `no worker answered: ${reason}`);
    ok(!reason.includes("no more threads"), reason);
  }
  return `${showError(worst)}, ${reason}${checkShared(report, workers)}`;
}

/** A call on an engine with workers has the bits of one thread, and so many workers as are wanted. */
function checkShared({ shared }: TourReport, wanted: number | undefined): string {
  if (!shared) {
    ok(wanted === undefined, "nothing was sent to workers");
    return "";
  }
  const { workers, different, why } = shared;
  ok(different < 0, `with workers: number ${different} is another than one thread has; ${why}`);
  ok(wanted === undefined || workers === wanted, `${workers} workers, wanted ${wanted}: ${why}`);
  return workers > 0 ? `; ${workers} workers, the same bits` : "";
}

/** What `flashtile info --json` printed. */
export function checkInfo(stdout: string): string {
  const { runtime, chosen } = JSON.parse(stdout);
  ok(runtime.name === "node", `runtime is ${runtime.name}, wanted node`);
  ok(["wasm", "webgpu"].includes(chosen.backend), `backend is ${chosen.backend}`);
  return chosen.reason;
}

/** What a script of `apps/script.ts` printed must be right whatever ran it. */
export function checkScript(stdout: string, end: number): string {
  const report = JSON.parse(stdout) as ScriptReport;
  const { byDefault, one, two, again, threads, at } = report;
  checkTour(two, { threads: 2 });
  const worst = Math.max(checkNumbers(byDefault), checkNumbers(one), checkNumbers(two.numbers));
  checkSameBits(two.numbers, again);
  const [chosen = 0, ...asked] = threads, cores = availableParallelism();
  ok(asked[0] === 1 && asked[1] === 2, `asked for 1 and 2 threads, got ${asked.join(" and ")}`);
  // hosts count cores differently inside containers, so not the exact number
  ok(chosen > 1 || cores === 1, `the default engine took ${chosen} thread on ${cores} cores`);
  checkEnd(at, end);
  return `${showError(worst)}, default threads ${chosen}, ended after ${end - at} ms`;
}

/** One call on the default engine must neither hang nor linger. */
export function checkOnce(stdout: string, end: number): string {
  const { length, at } = JSON.parse(stdout) as OnceReport;
  ok(length > 0, "no output");
  checkEnd(at, end);
  return `ended after ${end - at} ms`;
}

/** An op and a layer of TensorFlow.js: the numbers, and a loss that falls. */
export function checkTfjs(stdout: string): string {
  // TensorFlow.js greets Node first
  const { numbers, losses } = JSON.parse(stdout.slice(stdout.indexOf("{"))) as TfjsReport;
  const worst = checkNumbers(numbers), [first = NaN, second = NaN] = losses;
  ok(second < first, `the loss went from ${first} to ${second}`);
  return `${showError(worst)}, loss ${first.toFixed(3)}, then ${second.toFixed(3)}`;
}
