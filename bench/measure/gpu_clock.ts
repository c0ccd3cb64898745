/**
 * Timing of GPU work. Several launches are recorded into one compute pass that carries timestamps,
 * so that neither the host nor the latency of a promise (11 ms in Deno) is in the figure. Without
 * timestamps a longer batch is timed from outside, less the time of an empty one.
 * @module
 */

import { checked, dispatch, readBack, storage, submit } from "./gpu_device.ts";
import type { Clock, RaceOptions, Sample, Work } from "./race.ts";
import { summarize } from "./statistics.ts";

/**
 * A pass shorter than this would measure the clock. On a software adapter it takes that long until
 * all threads are at work, and a batch timed from outside has to hide the wait for its end.
 */
const SHORTEST_MS = { hardware: 5, software: 60, wall: 200 };
const MOST_LAUNCHES = 2000;
/**
 * Work before the timed passes, in the same command buffer. A card that idles lowers its clock, and it idles 11 ms
 * for each promise that Deno awaits: passes of 5 ms without it were up to four times too slow on an H200.
 */
const SPIN_MS = 30;
/**
 * Samples of so many milliseconds follow each other in one command buffer: with the spinning and the
 * wait, 41 ms, for each alone, a report took ten times as long as its kernels.
 */
const BATCH_MS = 40;
const MOST_SAMPLES = 32;

export class GpuClock implements Clock {
  readonly device: GPUDevice;
  /** A software adapter: its figures are indications, its sizes are smaller. */
  readonly software: boolean;
  readonly source: "timestamps" | "wall";
  readonly shortestMs: number;
  readonly #queries?: GPUQuerySet;
  readonly #resolved?: GPUBuffer;
  readonly #spinner?: Work;
  #emptyMs?: number;

  constructor(device: GPUDevice, software: boolean) {
    this.device = device;
    this.software = software;
    this.source = device.features.has("timestamp-query") ? "timestamps" : "wall";
    const kind = software ? "software" : "hardware";
    this.shortestMs = SHORTEST_MS[this.source === "wall" ? "wall" : kind];
    if (this.source === "wall") return;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 * MOST_SAMPLES });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    this.#resolved = device.createBuffer({ size: 16 * MOST_SAMPLES, usage });
    if (!software) this.#spinner = spinner(device, SPIN_MS);
  }

  /**
   * Warms up, and chooses the launches of a pass. The first launch includes the driver's compiler; an
   * error in it would be timed as zero.
   */
  async prepare(work: Work, { warmUpMs }: Required<RaceOptions>): Promise<Sample> {
    const measure = async (calls: number) =>
      (await this.measure([{ work, calls, callMs: Infinity }]))[0]!;
    let callMs = await checked(this.device, () => measure(1));
    const start = performance.now();
    let calls = 1;
    do {
      callMs = Math.min(callMs, await measure(calls));
      const wanted = Math.ceil(this.shortestMs / Math.max(callMs, 1e-6));
      calls = Math.max(1, Math.min(MOST_LAUNCHES, wanted));
    } while (performance.now() - start < warmUpMs);
    return { work, calls, callMs };
  }

  /** Milliseconds of one launch of each sample, averaged over those of its pass. */
  async measure(samples: readonly Sample[]): Promise<number[]> {
    const times: number[] = [];
    if (this.source === "wall") {
      const emptyMs = this.#emptyMs ??= await this.#empty();
      for (const { work, calls } of samples) {
        times.push(Math.max(1e-6, await this.measureWall(work, calls) - emptyMs / calls));
      }
    } else {
      for (const batch of batches(samples)) times.push(...await this.#byTimestamps(batch));
    }
    return times;
  }

  /** The same from the submission to the end of the last, seen from outside. */
  async measureWall(work: Work, launches: number): Promise<number> {
    const start = performance.now();
    submit(this.device, (pass) => {
      for (let i = 0; i < launches; i++) work.record!(pass);
    });
    await this.device.queue.onSubmittedWorkDone();
    const ms = performance.now() - start;
    work.settle?.();
    return ms / launches;
  }

  async #byTimestamps(batch: readonly Sample[]): Promise<number[]> {
    const querySet = this.#queries!, resolved = this.#resolved!;
    const found = await readBack(this.device, resolved, (encoder) => {
      if (this.#spinner) {
        const spin = encoder.beginComputePass();
        this.#spinner.record!(spin);
        spin.end();
      }
      for (const [n, { work, calls }] of batch.entries()) {
        const [beginningOfPassWriteIndex, endOfPassWriteIndex] = [2 * n, 2 * n + 1];
        const timestampWrites = { querySet, beginningOfPassWriteIndex, endOfPassWriteIndex };
        const pass = encoder.beginComputePass({ timestampWrites });
        for (let i = 0; i < calls; i++) work.record!(pass);
        pass.end();
      }
      encoder.resolveQuerySet(querySet, 0, 2 * batch.length, resolved, 0);
    });
    const stamps = new BigUint64Array(found);
    return batch.map(({ work, calls }, n) => {
      const [begin, end] = [stamps[2 * n]!, stamps[2 * n + 1]!], ms = Number(end - begin) / 1e6;
      if (!(ms > 0)) throw new Error(`${work.name}: timestamps ${begin} and ${end}`);
      work.settle?.();
      return ms / calls;
    });
  }

  /** What a batch of nothing costs. */
  async #empty(): Promise<number> {
    const nothing = { name: "empty", record() {} }, times: number[] = [];
    for (let i = 0; i < 9; i++) times.push(await this.measureWall(nothing, 1));
    return summarize("empty", times).medianMs;
  }
}

/** Samples that share a command buffer. */
function batches(samples: readonly Sample[]): Sample[][] {
  const all: Sample[][] = [];
  let spentMs = Infinity;
  for (const sample of samples) {
    const ms = sample.calls * sample.callMs;
    if (spentMs + ms > BATCH_MS || all.at(-1)!.length === MOST_SAMPLES) {
      all.push([]);
      spentMs = 0;
    }
    all.at(-1)!.push(sample);
    spentMs += ms;
  }
  return all;
}

/** Multiply-adds of a chain, four clocks each at 2 GHz. */
const TURNS_A_MS = 5e5;

/** Keeps the device busy, and its clock up, for about so long. */
function spinner(device: GPUDevice, ms: number): Work {
  const code = `
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var x = f32(id.x);
  for (var turn = 0u; turn < ${Math.round(ms * TURNS_A_MS / 16)}u; turn++) {
    ${Array(16).fill("x = fma(x, 0.999, 0.001);").join("\n    ")}
  }
  if (x == 12345.0) { out[0] = x; } // never, but only the device could know
}`;
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  return dispatch(device, pipeline, [storage(device, 4)], [128]);
}
