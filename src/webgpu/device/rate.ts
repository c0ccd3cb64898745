// How fast a GPU is: its multiply-adds a second, from the clocks of its own passes. Adapters differ a hundredfold, and
// their names do not tell.
import { RATE_STEPS, RATE_THREADS, rateShader } from "../../../shaders/kernels/rate.ts";
import { type GpuBuffer, type GpuDevice, MAP_READ, USAGE } from "./api.ts";

/** Milliseconds that measuring may take; a wait for the device alone takes Deno 11. */
const LIMIT_MS = 20;
/** A pass this long is exact enough where browsers round clocks to a tenth of a millisecond. */
const ENOUGH_MS = 0.4;
/** Workgroups: enough to fill a large device. */
const WORKGROUPS = 1024;
/** Turns of the first pass, 0.07 GFLOP; every other pass has sixteen times as many as the one before. */
const FIRST_TURNS = 4;
const GROWTH = 16;
const MOST_ROUNDS = 3;

/** Two passes, the second `GROWTH` times as long; the milliseconds of the second. */
class RateKernel {
  readonly #device: GpuDevice;
  readonly #pipeline: object;
  readonly #querySet: ReturnType<GpuDevice["createQuerySet"]>;
  readonly #buffers: GpuBuffer[] = [];
  readonly #results: GpuBuffer;
  readonly #clocks: GpuBuffer;
  readonly #staging: GpuBuffer;

  constructor(device: GpuDevice, pipeline: object) {
    this.#device = device;
    this.#pipeline = pipeline;
    this.#querySet = device.createQuerySet({ type: "timestamp", count: 4 });
    this.#results = this.#buffer(256, USAGE.storage);
    this.#clocks = this.#buffer(32, USAGE.queryResolve | USAGE.copySource);
    this.#staging = this.#buffer(32, USAGE.mapRead | USAGE.copyTarget);
  }

  #buffer(size: number, usage: number): GpuBuffer {
    const buffer = this.#device.createBuffer({ size, usage, label: "rate" });
    this.#buffers.push(buffer);
    return buffer;
  }

  /** What one pass reads: a buffer each, because writes to one would all come before both passes. */
  #group(turns: number): object {
    const input = this.#buffer(16, USAGE.storage | USAGE.copyTarget), words = new Uint32Array(4);
    words[0] = turns;
    new Float32Array(words.buffer).set([0.999, 0.001], 1);
    this.#device.queue.writeBuffer(input, 0, words);
    const pipeline = this.#pipeline as { getBindGroupLayout(index: number): object };
    return this.#device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [input, this.#results].map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  async milliseconds(turns: number): Promise<number> {
    const encoder = this.#device.createCommandEncoder(), querySet = this.#querySet;
    for (const [n, times] of [1, GROWTH].entries()) {
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: 2 * n,
          endOfPassWriteIndex: 2 * n + 1,
        },
      });
      pass.setPipeline(this.#pipeline);
      pass.setBindGroup(0, this.#group(turns * times));
      pass.dispatchWorkgroups(WORKGROUPS);
      pass.end();
    }
    encoder.resolveQuerySet(querySet, 0, 4, this.#clocks, 0);
    encoder.copyBufferToBuffer(this.#clocks, 0, this.#staging, 0, 32);
    this.#device.queue.submit([encoder.finish()]);
    await this.#staging.mapAsync(MAP_READ);
    const stamps = new BigUint64Array(this.#staging.getMappedRange());
    const ms = Number(stamps[3]! - stamps[2]!) / 1e6;
    this.#staging.unmap();
    return ms;
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#querySet.destroy();
  }
}

/**
 * Floating-point operations a second of multiply-adds, in 20 ms at most on a device that does 0.1 TFLOP/s; undefined where
 * passes cannot be timed, or where they were not.
 */
export async function measureFlops(device: GpuDevice): Promise<number | undefined> {
  if (!device.features.has("timestamp-query")) return undefined;
  const started = performance.now();
  let kernel: RateKernel | undefined;
  try {
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: rateShader() }), entryPoint: "main" },
    });
    kernel = new RateKernel(device, pipeline);
    let flops: number | undefined;
    for (let round = 0, turns = FIRST_TURNS; round < MOST_ROUNDS; round++, turns *= GROWTH) {
      const before = performance.now(), ms = await kernel.milliseconds(turns);
      const steps = RATE_STEPS * RATE_THREADS * WORKGROUPS * turns * GROWTH;
      if (ms > 0) flops = 2e3 * steps / ms;
      const now = performance.now(), next = now - before + GROWTH * ms;
      const stopped = !(ms > 0) && round > 0; // a clock that stands still
      if (stopped || ms >= ENOUGH_MS || now - started + next > LIMIT_MS) break;
    }
    return flops;
  } catch {
    return undefined; // a device that is lost says so to its first call
  } finally {
    kernel?.destroy();
  }
}
