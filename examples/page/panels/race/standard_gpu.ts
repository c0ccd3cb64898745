// Standard attention on the GPU: the kernels of bench/subjects/unfused_shaders.ts on the device of the engine.
import type { Engine } from "@flashtile/attention";
import {
  OUTPUT,
  parameters,
  SCORES,
  SOFTMAX,
  TILE,
} from "../../../../bench/subjects/unfused_shaders.ts";
import type { Inputs } from "../../attention/inputs.ts";
import { bytes } from "../../parts/words.ts";
import type { Contender, Prepared, Shape } from "./contender.ts";

/** Numbers of the standard that TypeScript's library of the DOM does not have yet. */
const { GPUBufferUsage, GPUMapMode } = globalThis as unknown as {
  readonly GPUBufferUsage: Readonly<
    Record<"MAP_READ" | "COPY_SRC" | "COPY_DST" | "UNIFORM" | "STORAGE", number>
  >;
  readonly GPUMapMode: Readonly<Record<"READ", number>>;
};

type Pipelines = readonly [
  GPUComputePipeline,
  GPUComputePipeline,
  GPUComputePipeline,
];

async function compile(device: GPUDevice): Promise<Pipelines> {
  const pipeline = (code: string) =>
    device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }) },
    });
  return await Promise.all([
    pipeline(SCORES),
    pipeline(SOFTMAX),
    pipeline(OUTPUT),
  ]);
}

/** A buffer with the values of an array. */
function upload(device: GPUDevice, data: Float32Array<ArrayBuffer>): GPUBuffer {
  const { STORAGE, COPY_DST } = GPUBufferUsage;
  const buffer = device.createBuffer({
    size: data.byteLength,
    usage: STORAGE | COPY_DST,
  });
  device.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

async function readBack(
  device: GPUDevice,
  buffer: GPUBuffer,
): Promise<Float32Array> {
  const { MAP_READ, COPY_DST } = GPUBufferUsage, { size } = buffer;
  const copy = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(copy.getMappedRange().slice(0));
  copy.destroy();
  return values;
}

/** The dispatches of all heads, `together` at a time. */
function encoding(
  device: GPUDevice,
  pipelines: Pipelines,
  { heads, length, headDim }: Inputs,
  buffers: Readonly<Record<"q" | "k" | "v" | "scores" | "out", GPUBuffer>>,
  together: number,
) {
  const { q, k, v, scores, out } = buffers,
    tiles = length / TILE,
    made: GPUBuffer[] = [];
  const steps: ((pass: GPUComputePassEncoder) => void)[] = [];
  const add = (
    pipeline: GPUComputePipeline,
    bound: GPUBuffer[],
    groups: number[],
  ) => {
    const bindGroup = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: bound.map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    });
    steps.push((pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(groups[0]!, groups[1], groups[2]);
    });
  };
  for (let head = 0; head < heads; head += together) {
    const count = Math.min(together, heads - head);
    const sizes = { lengthQ: length, lengthK: length, headDim };
    const { UNIFORM, COPY_DST } = GPUBufferUsage;
    const params = device.createBuffer({ size: 32, usage: UNIFORM | COPY_DST });
    device.queue.writeBuffer(params, 0, parameters(sizes, head, false));
    made.push(params);
    add(pipelines[0], [params, q, k, scores], [tiles, tiles, count]);
    add(pipelines[1], [params, scores], [length, count]);
    add(pipelines[2], [params, scores, v, out], [headDim / TILE, tiles, count]);
  }
  return {
    made,
    record: (pass: GPUComputePassEncoder) => steps.forEach((step) => step(pass)),
  };
}

async function prepare(
  device: GPUDevice,
  pipelines: Pipelines,
  inputs: Inputs,
  together: number,
): Promise<Prepared> {
  const { STORAGE, COPY_SRC } = GPUBufferUsage;
  device.pushErrorScope("out-of-memory");
  const memoryBytes = 4 * together * inputs.length ** 2;
  const buffers = {
    q: upload(device, inputs.q),
    k: upload(device, inputs.k),
    v: upload(device, inputs.v),
    scores: device.createBuffer({ size: memoryBytes, usage: STORAGE }),
    out: device.createBuffer({
      size: inputs.q.byteLength,
      usage: STORAGE | COPY_SRC,
    }),
  };
  const { made, record } = encoding(
    device,
    pipelines,
    inputs,
    buffers,
    together,
  );
  const dispose = () => [...Object.values(buffers), ...made].forEach((buffer) => buffer.destroy());
  if (await device.popErrorScope()) {
    dispose();
    throw new RangeError(
      `The GPU gave no ${bytes(memoryBytes)} for the matrix of scores.`,
    );
  }
  return {
    memoryBytes,
    async run(times, signal) {
      await device.queue.onSubmittedWorkDone();
      const begin = performance.now();
      for (let n = 0; n < times; n++) {
        signal.throwIfAborted();
        const encoder = device.createCommandEncoder(),
          pass = encoder.beginComputePass();
        record(pass);
        pass.end();
        device.queue.submit([encoder.finish()]);
      }
      await device.queue.onSubmittedWorkDone();
      return performance.now() - begin;
    },
    read: () => readBack(device, buffers.out),
    dispose,
  };
}

/** The contender; `budget`: bytes that matrices may take, of as many heads together as fit. */
export async function standardGpu(
  engine: Engine,
  { heads }: Shape,
  budget: number,
): Promise<Contender> {
  const device = engine.device as unknown as GPUDevice,
    pipelines = await compile(device);
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const most = Math.min(budget, maxBufferSize, maxStorageBufferBindingSize);
  return {
    id: "standard gpu",
    name: "standard, GPU",
    tooLong(length) {
      const matrix = 4 * length ** 2;
      if (matrix <= most) return undefined;
      const limit = most < budget ? `, and this GPU binds ${bytes(most)} at once` : "";
      return `its matrix would take ${bytes(matrix)}${limit}`;
    },
    async prepare(inputs) {
      const together = Math.min(
        heads,
        Math.floor(most / (4 * inputs.length ** 2)),
      );
      return await prepare(device, pipelines, inputs, together);
    },
  };
}
