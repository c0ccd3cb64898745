/**
 * How fast the device multiplies and adds: the limit that a share of the peak refers to.
 * @module
 */

import type { GpuClock } from "../measure/gpu_clock.ts";
import { dispatch, pipeline, storage, uniform } from "../measure/gpu_device.ts";
import { race, type RaceOptions, type Work } from "../measure/race.ts";

/** The peak and how it was reached. */
export interface FmaPeak {
  readonly gflops: number;
  /** Independent vec4 chains of the fastest variant. */
  readonly chains: number;
  /** A long batch timed from outside over the same by timestamps: 1 when both clocks agree. */
  readonly wallOverTimestamps: number;
}

/** Few chains fit the registers of a processor, many hide the latency of a GPU. */
const CHAINS = [2, 8, 16];
/** Scalar operations of a loop body: so many that the compiler's loop counter does not matter. */
const BODY = 2048;
const THREADS = 256;
const LONG_BATCH_MS = { software: 300, hardware: 1000 };

function shader(chains: number): string {
  const names = Array.from({ length: chains }, (_, i) => `a${i}`);
  const starts = names.map((name, i) => `  var ${name} = start + ${i}.0;`);
  const turn = names.map((name) => `    ${name} = fma(${name}, factor, term);`).join("\n");
  const body = Array(BODY / 4 / chains).fill(turn).join("\n");
  return `
struct Params { factor: vec4f, term: vec4f, turns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  // From a uniform: constants would be folded.
  let factor = params.factor;
  let term = params.term;
  let start = vec4f(f32(id.x & 255u));
${starts.join("\n")}
  for (var turn = 0u; turn < params.turns; turn++) {
${body}
  }
  let sum = ${names.join(" + ")};
  if (sum.x == 12345.0) { out[id.x] = sum; } // never, but only the device could know
}`;
}

export async function measureFma(clock: GpuClock, options: RaceOptions): Promise<FmaPeak> {
  const { device, software } = clock;
  const [groups, turns] = software ? [64, 8] : [8192, 16];
  const params = new ArrayBuffer(48);
  new Float32Array(params, 0, 8).fill(0.999, 0, 4).fill(0.001, 4);
  new Uint32Array(params, 32, 1)[0] = turns;
  const buffers = [uniform(device, params), storage(device, groups * THREADS * 16)];
  const works: Work[] = [];
  for (const chains of CHAINS) {
    works.push(dispatch(device, await pipeline(device, shader(chains)), buffers, [groups]));
  }
  const times = (await race(clock, works, options)).map(({ medianMs }) => medianMs);
  const best = Math.min(...times), at = times.indexOf(best);
  const longMs = software ? LONG_BATCH_MS.software : LONG_BATCH_MS.hardware;
  const wallMs = await clock.measureWall(works[at], Math.ceil(longMs / best));
  return {
    gflops: 2 * BODY * turns * groups * THREADS / best / 1e6,
    chains: CHAINS[at],
    wallOverTimestamps: clock.source === "timestamps" ? wallMs / best : NaN,
  };
}
