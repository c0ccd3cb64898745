/**
 * One library on WebGPU in a process of its own: prepares the job given as its argument, verifies
 * its output, times it, and prints one line.
 *
 * Tensors stay on the device. A sample is many calls and one wait for the last of them, so that the
 * 11 ms that Deno takes to notice the end of GPU work count a little, and the same for everybody.
 * @module
 */

import type { Case } from "../../cases.ts";
import { ANSWER_MARK } from "../../peers/protocol.ts";
import { gpuOperands } from "../cases.ts";
import { outputError } from "../../oracle.ts";

export interface PeerJob {
  /** As in the tables, such as `onnxruntime-web/mha`. */
  readonly contender: string;
  readonly case: Case;
  readonly causal: boolean;
  /** Folder with the libraries. */
  readonly modules: string;
  readonly samples: number;
  readonly budgetMs: number;
  /** A sample lasts as long, if that takes no more calls than a contender can hold results of. */
  readonly sampleMs: number;
}

export interface PeerAnswer {
  /** Milliseconds of one call, by sample. */
  readonly times?: readonly number[];
  readonly calls?: number;
  readonly error?: number;
  readonly failed?: string;
}

/** A library ready to be timed. */
export interface PreparedPeer {
  /** So many calls, and the wait for the last. */
  run(calls: number): Promise<void>;
  /** The output of one call in layout `bhsd`. */
  output(): Promise<Float32Array>;
  /** Calls whose results fit the device at a time. */
  readonly mostCalls: number;
}

export type PreparePeer = (job: PeerJob) => Promise<PreparedPeer>;

const MODULES: Readonly<Record<string, () => Promise<{ prepare: PreparePeer }>>> = {
  "flashtile": () => import("./flashtile.ts"),
  "jax-js": () => import("./jax.ts"),
  "onnxruntime-web": () => import("./onnx.ts"),
};

const TOLERANCE = 1e-5;

async function answer(job: PeerJob): Promise<PeerAnswer> {
  const { prepare } = await MODULES[job.contender.split("/")[0]]();
  const peer = await prepare(job);
  const out = await peer.output();
  const error = outputError(job.case, gpuOperands(job.case), job.causal, out);
  if (!(error < TOLERANCE)) return { failed: `wrong by ${error}` };
  const time = async (calls: number) => {
    const start = performance.now();
    await peer.run(calls);
    return (performance.now() - start) / calls;
  };
  let callMs = Infinity, calls = 1;
  // Twice as many until a sample is long enough: a single call is mostly the wait.
  for (;;) {
    callMs = Math.min(callMs, await time(calls));
    if (callMs * calls >= job.sampleMs || calls >= peer.mostCalls) break;
    calls = Math.min(peer.mostCalls, calls * 2);
  }
  const affordable = Math.floor(job.budgetMs / (callMs * calls));
  const samples = Math.max(1, Math.min(job.samples, affordable));
  const times: number[] = [];
  for (let i = 0; i < samples; i++) times.push(await time(calls));
  return { times, calls, error };
}

let result: PeerAnswer;
try {
  result = await answer(JSON.parse(Deno.args[0]) as PeerJob);
} catch (error) {
  result = { failed: error instanceof Error ? error.message : String(error) };
}
console.log(ANSWER_MARK + JSON.stringify(result));
// Libraries keep devices and workers that would hold the process.
Deno.exit(0);
