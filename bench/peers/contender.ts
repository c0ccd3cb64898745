/**
 * One contender in a process of its own: prepares the job given as its argument, then does what it
 * is told on standard input, one JSON object a line, and answers the same way. With `--once` it
 * makes one call and ends: the time of a first result.
 * @module
 */

import { writeFileSync } from "node:fs";
import { reference, referenceGradients, worstError } from "../reference.ts";
import { operands } from "../cases.ts";
import { processMemory } from "../measure/machine.ts";
import {
  isCausal,
  type Job,
  type Outputs,
  type Prepare,
  type Prepared,
  wantsGradients,
} from "./job.ts";
import { type Answer, ANSWER_MARK, type Request } from "./protocol.ts";

const MODULES: Readonly<Record<string, () => Promise<{ prepare: Prepare }>>> = {
  "flashtile": () => import("./contenders/flashtile.ts"),
  "jax-js": () => import("./contenders/jax.ts"),
  "none": () => import("./contenders/none.ts"),
  "onnxruntime-node": () => import("./contenders/onnx_node.ts"),
  "onnxruntime-web": () => import("./contenders/onnx_web.ts"),
  "tfjs-wasm": () => import("./contenders/tfjs.ts"),
};

async function prepare(job: Job): Promise<Prepared> {
  const { prepare } = await MODULES[job.contender.split("/")[0]]();
  return await prepare(job);
}

/** Calls for the given time, at least once; the length of the fastest call. */
async function warmUp(prepared: Prepared, milliseconds: number): Promise<number> {
  const start = performance.now();
  let fastest = Infinity;
  do {
    const begin = performance.now();
    await prepared.run();
    fastest = Math.min(fastest, performance.now() - begin);
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
  return (performance.now() - start) / calls;
}

function compare(job: Job, outputs: Outputs): number {
  const exact = wantsGradients(job)
    ? referenceGradients(job.case, operands(job.case), isCausal(job))
    : { out: reference(job.case, operands(job.case), isCausal(job)) };
  return Math.max(
    ...Object.entries(exact).map(([name, values]) => worstError(outputs[name], values)),
  );
}

async function answer(job: Job, prepared: Prepared, request: Request): Promise<Answer> {
  if (request.do === "warm") return { ms: await warmUp(prepared, request.ms) };
  if (request.do === "time") return { ms: await time(prepared, request.calls, request.discard) };
  if (request.do === "check") {
    await prepared.run();
    return { error: compare(job, await prepared.outputs()) };
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

function reply(message: Answer): void {
  console.log(ANSWER_MARK + JSON.stringify(message));
}

async function serve(job: Job): Promise<void> {
  const prepared = await prepare(job);
  restartPeak();
  reply({ ready: true });
  let pending = "";
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (pending + chunk).split("\n");
    pending = lines.pop() ?? "";
    for (const line of lines) reply(await answer(job, prepared, JSON.parse(line) as Request));
  }
}

const job = JSON.parse(Deno.args[0]) as Job;
try {
  if (Deno.args.includes("--once")) {
    const prepared = await prepare(job);
    await prepared.run();
  } else {
    await serve(job);
  }
} catch (error) {
  reply({ failed: error instanceof Error ? error.message : String(error) });
}
// Some libraries keep workers that would hold the process.
Deno.exit(0);
