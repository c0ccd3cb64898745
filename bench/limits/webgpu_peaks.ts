/**
 * How fast the device multiplies and adds, and moves data: global memory copied and only read, and
 * workgroup memory. Of each the fastest of some shapes counts.
 * @module
 */

import type { GpuClock } from "../measure/gpu_clock.ts";
import { dispatch, pipeline, storage, submit, uniform } from "../measure/gpu_device.ts";
import { race, type RaceOptions, type Work } from "../measure/race.ts";

/** Billions of bytes a second. A copy counts what it reads and what it writes. */
export interface Bandwidth {
  readonly copyGBs: number;
  readonly readGBs: number;
  readonly workgroupGBs: number;
  /** Of each of the buffers that were copied and read. */
  readonly bufferBytes: number;
}

const THREADS = 256;

/** The variant whose work takes least. */
async function fastest(
  clock: GpuClock,
  options: RaceOptions,
  variants: readonly number[],
  make: (variant: number) => Promise<Work>,
): Promise<{ readonly work: Work; readonly ms: number; readonly variant: number }> {
  const works: Work[] = [];
  for (const variant of variants) works.push(await make(variant));
  const times = (await race(clock, works, options)).map(({ medianMs }) => medianMs);
  const ms = Math.min(...times), at = times.indexOf(ms);
  return { work: works[at]!, ms, variant: variants[at]! };
}

/** vec4 that one thread moves; which is best depends on the device. */
const COPY_WIDTHS = [1, 4, 8];
const READ_WIDTHS = [4, 16];

/** Four times the largest cache and more on hardware; past the caches of a processor on software. */
const BYTES = { software: 2 ** 26, hardware: 2 ** 29 };

export async function measureBandwidth(clock: GpuClock, options: RaceOptions): Promise<Bandwidth> {
  const { device, software } = clock;
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  let bytes = software ? BYTES.software : BYTES.hardware;
  while (bytes > Math.min(maxBufferSize, maxStorageBufferBindingSize)) bytes /= 2;
  const buffers = [storage(device, bytes), storage(device, bytes)];
  // pages that were never written may share one zero page
  const fill = await stream(device, fillShader(), 1, buffers);
  submit(device, (pass) => fill.record!(pass));
  const best = async (widths: readonly number[], shader: (width: number) => string) => {
    const make = (width: number) => stream(device, shader(width), width, buffers);
    return (await fastest(clock, options, widths, make)).ms;
  };
  const copy = await best(COPY_WIDTHS, copyShader);
  const read = await best(READ_WIDTHS, readShader);
  for (const buffer of buffers) buffer.destroy();
  return {
    copyGBs: 2 * bytes / copy / 1e6,
    readGBs: bytes / read / 1e6,
    workgroupGBs: await measureWorkgroupMemory(clock, options),
    bufferBytes: bytes,
  };
}

const BUFFERS = `
@group(0) @binding(0) var<storage, read_write> source: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4f>;`;

const ENTRY = `
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {`;

/** A thread's vec4 are a workgroup apart. */
function streamShader(width: number, body: (indices: number[]) => string[]): string {
  return `${BUFFERS}${ENTRY}
  let at = (group.y * groups.x + group.x) * ${width * THREADS}u + thread;
  ${body(indices(width).map((i) => i * THREADS)).join("\n  ")}
}`;
}

function fillShader(): string {
  return streamShader(1, () => [
    "let x = vec4f(f32(at & 1023u));",
    "source[at] = x;",
    "result[at] = x + 1.0;",
  ]);
}

function copyShader(width: number): string {
  return streamShader(width, (all) => [
    ...all.map((i) => `let x${i} = source[at + ${i}u];`),
    ...all.map((i) => `result[at + ${i}u] = x${i};`),
  ]);
}

function readShader(width: number): string {
  return streamShader(width, (all) => [
    `let sum = ${all.map((i) => `source[at + ${i}u]`).join(" + ")};`,
    "if (sum.x == 12345.0) { result[at] = sum; } // never, but only the device could know",
  ]);
}

function indices(count: number): number[] {
  return [...Array(count).keys()];
}

async function stream(
  device: GPUDevice,
  code: string,
  width: number,
  buffers: readonly GPUBuffer[],
): Promise<Work> {
  const compute = await pipeline(device, code);
  const groups = buffers[0]!.size / 16 / width / THREADS;
  // a power of two, as the workgroups are: 131072 of them do not fold into the 3 rows that would do
  const { maxComputeWorkgroupsPerDimension: most } = device.limits;
  const rows = 2 ** Math.max(0, Math.ceil(Math.log2(groups / most)));
  return dispatch(device, compute, buffers, [groups / rows, rows]);
}

const TILE = 512;
const LOADS = 64;

/** Every thread reads vec4 without bank conflicts from places that change with each turn. */
const WORKGROUP_SHADER = `
@group(0) @binding(0) var<uniform> turns: u32;
@group(0) @binding(1) var<storage, read_write> result: array<vec4f>;
var<workgroup> tile: array<vec4f, ${TILE}>;
${ENTRY}
  tile[thread] = vec4f(f32(thread));
  tile[thread + ${THREADS}u] = vec4f(1.0);
  workgroupBarrier();
  var sum = vec4f(0.0);
  var place = thread;
  for (var turn = 0u; turn < turns; turn++) {
    ${indices(LOADS).map((i) => `sum += tile[place + ${i}u];`).join("\n    ")}
    place = (place + 33u) & ${THREADS - 1}u;
  }
  if (sum.x == 12345.5) { result[thread] = sum + f32(group.x + groups.x); }
}`;

async function measureWorkgroupMemory(clock: GpuClock, options: RaceOptions): Promise<number> {
  const { device } = clock, [groups, turns] = clock.software ? [64, 16] : [4096, 128];
  const compute = await pipeline(device, WORKGROUP_SHADER);
  const count = uniform(device, new Uint32Array([turns]).buffer);
  const work = dispatch(device, compute, [count, storage(device, THREADS * 16)], [groups]);
  const [timing] = await race(clock, [work], options);
  return groups * THREADS * turns * LOADS * 16 / timing.medianMs / 1e6;
}

/** Few chains fit the registers of a processor, many hide the latency of a GPU. */
const CHAINS = [2, 8, 16];
/** Scalar operations of a loop body: so many that the compiler's loop counter does not matter. */
const BODY = 2048;
const LONG_BATCH_MS = { software: 300, hardware: 500 };

function fmaShader(chains: number): string {
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

/**
 * The peak, the chains of the fastest variant, and a long batch timed from outside over the same by
 * timestamps: 1 when both clocks agree.
 */
export async function measureFma(
  clock: GpuClock,
  options: RaceOptions,
): Promise<{ gflops: number; chains: number; wallOverTimestamps: number }> {
  const { device, software } = clock;
  const [groups, turns] = software ? [64, 8] : [8192, 16];
  const params = new ArrayBuffer(48);
  new Float32Array(params, 0, 8).fill(0.999, 0, 4).fill(0.001, 4);
  new Uint32Array(params, 32, 1)[0] = turns;
  const buffers = [uniform(device, params), storage(device, groups * THREADS * 16)];
  const { work, ms, variant } = await fastest(
    clock,
    options,
    CHAINS,
    async (chains) =>
      dispatch(device, await pipeline(device, fmaShader(chains)), buffers, [groups]),
  );
  const longMs = software ? LONG_BATCH_MS.software : LONG_BATCH_MS.hardware;
  const wallMs = await clock.measureWall(work, Math.ceil(longMs / ms));
  return {
    gflops: 2 * BODY * turns * groups * THREADS / ms / 1e6,
    chains: variant,
    wallOverTimestamps: clock.source === "timestamps" ? wallMs / ms : NaN,
  };
}
