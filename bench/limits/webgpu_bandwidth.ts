/**
 * How fast the device moves data: global memory copied and only read, and workgroup memory.
 * @module
 */

import type { GpuClock } from "../measure/gpu_clock.ts";
import { dispatch, pipeline, storage, uniform } from "../measure/gpu_device.ts";
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
  await clock.measure(await stream(device, fillShader(), 1, buffers), 1);
  const fastest = async (widths: readonly number[], shader: (width: number) => string) => {
    const works: Work[] = [];
    for (const width of widths) works.push(await stream(device, shader(width), width, buffers));
    return Math.min(...(await race(clock, works, options)).map((t) => t.medianMs));
  };
  const copy = await fastest(COPY_WIDTHS, copyShader),
    read = await fastest(READ_WIDTHS, readShader);
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
  const groups = buffers[0].size / 16 / width / THREADS;
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
