// Recording steps into passes, and submitting them: parameters of all steps in one buffer, long work in several
// submissions, so that watchdogs are kept quiet and a signal is heard in between.
import { PARAMS_BYTES, writeParams } from "../../../shaders/features/params.ts";
import { bufferAt, UNIFORM_BINDING } from "../../../shaders/parts/bindings.ts";
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { GpuBuffer, GpuComputePass, GpuDevice } from "../device/api.ts";
import type { OpenDevice } from "../device/device.ts";
import type { Pipeline, Pipelines } from "../device/pipelines.ts";
import type { Step } from "./dispatch.ts";

/** Operations of one submission: 20 to 400 ms of a GPU, about half a second of a software adapter. */
const SUBMISSION_FLOPS = { hardware: 4e11, software: 4e9 };
/** Submissions that may wait on the device at the same time. */
const IN_FLIGHT = 2;

/** A dispatch that fits the limits: a range of a step's workgroups. */
interface Dispatch {
  readonly step: Step;
  readonly begin: number;
  readonly count: number;
  readonly flops: number;
}

/** Cuts steps along x, where they are too wide or too long for one dispatch. */
function cut(steps: readonly Step[], { target }: Pick<OpenDevice, "target">): Dispatch[] {
  const most = SUBMISSION_FLOPS[target.software ? "software" : "hardware"];
  return steps.flatMap((step) => {
    if (step.x === 0 || step.y === 0 || step.z === 0) return [];
    const pieces = Math.ceil(Math.max(step.x / target.limits.workgroups, step.flops / most));
    const size = Math.ceil(step.x / Math.min(step.x, pieces)), dispatches: Dispatch[] = [];
    for (let begin = 0; begin < step.x; begin += size) {
      const count = Math.min(size, step.x - begin);
      dispatches.push({ step, begin, count, flops: step.flops * count / step.x });
    }
    return dispatches;
  });
}

/** Bytes of the parameters of steps. */
export function paramsBytes(steps: readonly Step[], open: Pick<OpenDevice, "target">): number {
  return PARAMS_BYTES * Math.max(1, cut(steps, open).length);
}

/** The parameters of dispatches, one behind the other. */
function wordsOf(dispatches: readonly Dispatch[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(PARAMS_BYTES / 4 * Math.max(1, dispatches.length));
  const floats = new Float32Array(words.buffer);
  dispatches.forEach(({ step, begin }, n) => {
    const { item_base = 0 } = step.params;
    const values = { ...step.params, item_base: item_base + begin };
    writeParams(words, floats, n * PARAMS_BYTES / 4, values);
  });
  return words;
}

/** The steps of a call with their parameters on the device. */
export class Recording {
  readonly #open: OpenDevice;
  readonly #pipelines: Pipelines;
  readonly #dispatches: readonly Dispatch[];
  readonly #params: GpuBuffer;
  /** The parameters of all dispatches. */
  readonly words: Uint32Array<ArrayBuffer>;

  /** `params`: makes the buffer of the parameters; `words`: they, where they are known. */
  constructor(
    open: OpenDevice,
    pipelines: Pipelines,
    steps: readonly Step[],
    params: (bytes: number) => GpuBuffer,
    words?: Uint32Array<ArrayBuffer>,
  ) {
    this.#open = open;
    this.#pipelines = pipelines;
    this.#dispatches = cut(steps, open);
    this.words = words ?? wordsOf(this.#dispatches);
    this.#params = params(this.words.byteLength);
    open.device.queue.writeBuffer(this.#params, 0, this.words);
  }

  #group({ layout, storage }: Pipeline, step: Step): object {
    const entries = storage.map((binding) => {
      const name = bufferAt(binding), resource = step.bindings[name];
      if (!resource) throw new Error(`step "${step.kernel.key}" has no buffer ${name}`);
      return { binding, resource };
    });
    const params = { buffer: this.#params, offset: 0, size: PARAMS_BYTES };
    return this.#pipelines.group(layout, [
      { binding: UNIFORM_BINDING, resource: params },
      ...entries,
    ]);
  }

  /** Records dispatches `begin .. end` into a pass. */
  #record(pass: GpuComputePass, begin: number, end: number): void {
    let last: Step | undefined, group: object | undefined;
    for (let n = begin; n < end; n++) {
      const { step, count } = this.#dispatches[n]!;
      const pipeline = this.#pipelines.get(step.kernel);
      if (step !== last) {
        pass.setPipeline(pipeline.pipeline);
        group = this.#group(pipeline, step);
        last = step;
      }
      pass.setBindGroup(0, group!, [n * PARAMS_BYTES]);
      pass.dispatchWorkgroups(count, step.y, step.z);
    }
  }

  /** Records everything into a caller's pass. */
  recordInto(pass: GpuComputePass, action: string): void {
    this.#open.checked(action, () => this.#record(pass, 0, this.#dispatches.length));
  }

  /** Ranges of dispatches that are submitted together. */
  #batches(): (readonly [begin: number, end: number])[] {
    const most = SUBMISSION_FLOPS[this.#open.target.software ? "software" : "hardware"];
    const batches: [number, number][] = [];
    let flops = Infinity;
    this.#dispatches.forEach((dispatch, n) => {
      if (flops + dispatch.flops > most) {
        batches.push([n, n + 1]);
        flops = dispatch.flops;
      } else {
        batches[batches.length - 1]![1] = n + 1;
        flops += dispatch.flops;
      }
    });
    return batches;
  }

  #submit([begin, end]: readonly [number, number], action: string): void {
    const { device } = this.#open;
    this.#open.checked(action, () => {
      const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
      this.#record(pass, begin, end);
      pass.end();
      device.queue.submit([encoder.finish()]);
    });
  }

  /** Submits everything and waits for none of it. */
  submitAtOnce(action: string): void {
    for (const batch of this.#batches()) this.#submit(batch, action);
  }

  /** Submits everything; waits in between only when there are several submissions. */
  async submit(action: string, signal: AbortSignalLike | undefined): Promise<void> {
    const batches = this.#batches(), waiting: Promise<unknown>[] = [];
    for (const [n, batch] of batches.entries()) {
      if (waiting.length >= IN_FLIGHT) await waiting.shift();
      signal?.throwIfAborted();
      signal?.progress?.((n - waiting.length) / batches.length);
      this.#submit(batch, action);
      if (this.#open.debug) await this.#open.settled();
      if (batches.length === 1) continue;
      const done = this.#open.whileAlive(this.#done(), action);
      done.catch(() => {}); // the first rejection ends the call; nobody waits for the others then
      waiting.push(done);
    }
    await Promise.all(waiting);
  }

  #done(): Promise<unknown> {
    const { queue } = this.#open.device as GpuDevice;
    return queue.onSubmittedWorkDone();
  }
}
