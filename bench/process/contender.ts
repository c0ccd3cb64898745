/**
 * One contender in a process of its own: prepares the job given as its argument, then does what the
 * driver's messages say and answers them. With `--once` it makes one call and ends: the time of a
 * first result.
 * @module
 */

import { writeFileSync } from "node:fs";
import process from "node:process";
import { CHECK_CASE, operands } from "../cases.ts";
import { processMemory } from "../measure/machine.ts";
import { reasonOf } from "../measure/statistics.ts";
import { outputError, wholeError } from "../oracle.ts";
import {
  type Answer,
  isCausal,
  type Job,
  type Outputs,
  type Prepare,
  type Prepared,
  type Request,
} from "./job.ts";

const MODULES: Readonly<Record<string, () => Promise<{ prepare: Prepare }>>> = {
  "flashtile": () => import("../subjects/flashtile_process.ts"),
  "jax-js": () => import("../subjects/jax.ts"),
  "onnxruntime-node": () => import("../subjects/onnxruntime.ts"),
  "onnxruntime-web": () => import("../subjects/onnxruntime.ts"),
  "tfjs-wasm": () => import("../subjects/tfjs.ts"),
};

async function prepare(job: Job): Promise<Prepared> {
  const { q } = operands(job.case);
  // What a process costs before any library is loaded.
  if (job.contender === "none") return { run() {}, outputs: () => ({ out: q }) };
  const { prepare } = await MODULES[job.contender.split("/")[0]]();
  return await prepare(job);
}

/** Calls for the given time, at least once; the length of the fastest call. */
async function warmUp(prepared: Prepared, milliseconds: number): Promise<number> {
  const start = performance.now();
  let fastest = Infinity;
  do {
    fastest = Math.min(fastest, await time(prepared, 1, false));
    // A long call needs no second one: nothing in it is compiled late or cold.
  } while (performance.now() - start < milliseconds && fastest < milliseconds);
  return fastest;
}

async function time(prepared: Prepared, calls: number, discard: boolean): Promise<number> {
  // Other processes ran in between: one call brings caches and worker threads back.
  if (discard) await prepared.run();
  const start = performance.now();
  for (let i = 0; i < calls; i++) {
    const pending = prepared.run();
    if (pending instanceof Promise) await pending;
  }
  if (prepared.finish) await prepared.finish();
  return (performance.now() - start) / calls;
}

function errorOf(job: Job, outputs: Outputs): number {
  const call = { c: job.case, data: operands(job.case), causal: isCausal(job) };
  const small = job.case.name === CHECK_CASE.name;
  return small ? wholeError(call, outputs) : outputError(call, outputs.out);
}

async function answer(job: Job, prepared: Prepared, request: Request): Promise<Answer> {
  if (request.do === "warm") return { ms: await warmUp(prepared, request.ms) };
  if (request.do === "time") return { ms: await time(prepared, request.calls, request.discard) };
  if (request.do === "check") {
    await time(prepared, 1, false);
    return { error: errorOf(job, await prepared.outputs()) };
  }
  return { peakBytes: processMemory("VmHWM") - restingBytes, own: prepared.memory?.() };
}

let restingBytes = 0;

/** Memory use so far is the start; from here on the kernel keeps a new peak. Linux only. */
function restartPeak(): void {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // The answer will be NaN, which the tables show as a dash.
  }
  restingBytes = processMemory("VmRSS");
}

function reply(work: Promise<Answer>): Promise<unknown> {
  return work.catch((error) => ({ failed: reasonOf(error) }))
    .then((answer) => process.send!(answer));
}

async function serve(job: Job): Promise<Answer> {
  const prepared = await prepare(job);
  restartPeak();
  process.on("message", (request) => reply(answer(job, prepared, request as Request)));
  return { ready: { mostCalls: prepared.mostCalls ?? 1 } };
}

const job = JSON.parse(Deno.args[0]) as Job;
if (Deno.args.includes("--once")) {
  await (await prepare(job)).run();
  // Libraries keep devices and workers that would hold the process.
  Deno.exit(0);
}
process.on("disconnect", () => Deno.exit(0));
await reply(serve(job));
