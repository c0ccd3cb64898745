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
import { type Answer, type Commands, isCausal, type Job } from "./job.ts";
import type { Prepare, Prepared } from "./job.ts";

/** By the first word of a contender. */
const MODULES: Readonly<Record<string, () => Promise<{ prepare: Prepare }>>> = {
  flashtile: () => import("../subjects/flashtile_process.ts"),
  jax: () => import("../subjects/jax.ts"),
  onnxruntime: () => import("../subjects/onnxruntime.ts"),
  tfjs: () => import("../subjects/tfjs.ts"),
};

async function prepare(job: Job): Promise<Prepared> {
  const { q } = operands(job.case);
  // What a process costs before any library is loaded.
  if (job.contender === "none") return { run() {}, outputs: () => ({ out: q }) };
  const { prepare } = await MODULES[job.contender.split(/\W/)[0]!]!();
  return await prepare(job);
}

async function time({ run, finish }: Prepared, calls: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < calls; i++) {
    const pending = run();
    if (pending instanceof Promise) await pending;
  }
  if (finish) await finish();
  return (performance.now() - start) / calls;
}

/** What a contender does; its memory counts from here on. */
function commandsOf(job: Job, prepared: Prepared): Commands {
  const restingBytes = restartPeak();
  return {
    async warm(milliseconds) {
      const start = performance.now();
      let fastest = Infinity;
      do {
        fastest = Math.min(fastest, await time(prepared, 1));
        // A long call needs no second one: nothing in it is compiled late or cold.
      } while (performance.now() - start < milliseconds && fastest < milliseconds);
      return fastest;
    },
    async time(calls, discard) {
      // Other processes ran in between: one call brings caches and worker threads back.
      if (discard) await prepared.run();
      return await time(prepared, calls);
    },
    async check() {
      await time(prepared, 1);
      const call = { c: job.case, data: operands(job.case), causal: isCausal(job) };
      const outputs = await prepared.outputs(), small = job.case.name === CHECK_CASE.name;
      return small ? wholeError(call, outputs) : outputError(call, outputs.out!);
    },
    memory() {
      const peakBytes = processMemory("VmHWM") - restingBytes;
      return Promise.resolve({ peakBytes, own: prepared.memory?.() });
    },
  };
}

/** Memory in use; the kernel keeps a new peak after this. Linux only. */
function restartPeak(): number {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // The answer will be NaN, which the tables show as a dash.
  }
  return processMemory("VmRSS");
}

async function reply(work: Promise<unknown>): Promise<void> {
  const answer: Answer = await work
    .then((value) => ({ value }), (error) => ({ failed: reasonOf(error) }));
  process.send!(answer);
}

async function serve(job: Job): Promise<number> {
  const prepared = await prepare(job), commands = commandsOf(job, prepared);
  process.on("message", ([name, ...args]: [keyof Commands, ...never[]]) => {
    reply((commands[name] as (...args: never[]) => Promise<unknown>)(...args));
  });
  return prepared.mostCalls ?? 1;
}

const job = JSON.parse(Deno.args[0]!) as Job;
if (Deno.args.includes("--once")) {
  await (await prepare(job)).run();
  // Libraries keep devices and workers that would hold the process.
  Deno.exit(0);
}
process.on("disconnect", () => Deno.exit(0));
await reply(serve(job));
