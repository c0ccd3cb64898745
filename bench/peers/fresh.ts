/**
 * The first result in a fresh process: what a command-line tool or an edge function waits for.
 * Whole processes are timed from outside, and an empty one is taken off.
 * @module
 */

import { caseNamed } from "../cases.ts";
import { type Contender, race } from "../measure/race.ts";
import type { Job } from "./job.ts";
import { contenderCommand } from "./process.ts";

export interface FreshStart {
  readonly contender: string;
  readonly wholeMs: number;
  /** Less the process that loads nothing and computes nothing. */
  readonly beyondEmptyMs: number;
}

/** A process that takes this long hangs. */
const LIMIT_MS = 30_000;

const CONTENDERS = ["none", "flashtile", "onnxruntime-web/std", "tfjs-wasm/heads", "jax-js/wasm"];

export async function measureFreshStarts(samples: number): Promise<FreshStart[]> {
  const contenders: Contender[] = CONTENDERS.map((contender) => {
    const job: Job = { contender, task: "forward", case: caseNamed("s128"), threads: 1 };
    return { name: contender, run: () => runOnce(job) };
  });
  // The warm-up leaves the transpiled sources and V8's code in Deno's cache, as a second start has.
  const timings = await race(contenders, { samples, budgetMs: samples * 3000, warmUpMs: 300 });
  const empty = timings[0].medianMs;
  return timings.map((t) => ({
    contender: t.name,
    wholeMs: t.medianMs,
    beyondEmptyMs: t.medianMs - empty,
  }));
}

async function runOnce(job: Job): Promise<void> {
  const child = contenderCommand(job, ["--once"], AbortSignal.timeout(LIMIT_MS)).spawn();
  await child.stdin.close();
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stdout);
  if (code !== 0 || text.includes(`"failed"`)) {
    throw new Error(`${job.contender} gave no result: ${text}${new TextDecoder().decode(stderr)}`);
  }
}
