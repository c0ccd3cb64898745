// Masks on TensorFlow.js' WebGPU backend have 32 bits an element, those of this library a byte.
import type { GpuBuffer, GpuDevice } from "../webgpu/device/api.ts";

const THREADS = 64;
/** Workgroups of one axis that every device has. */
const MOST_GROUPS = 65535;

const CODE = `@group(0) @binding(0) var<storage, read> wide: array<u32>;
@group(0) @binding(1) var<storage, read_write> packed: array<u32>;
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let word = id.x + id.y * groups.x * ${THREADS}u;
  if (word * 4u >= arrayLength(&wide)) { return; }
  var bytes = 0u;
  for (var n = 0u; n < 4u; n++) {
    let at = 4u * word + n;
    if (at < arrayLength(&wide)) {
      if (wide[at] != 0u) { bytes |= 1u << (8u * n); }
    }
  }
  packed[word] = bytes;
}`;

/** Packs words that are 0 or not into bytes that are 0 or 1. */
export class BytePacker {
  readonly #device: GpuDevice;
  #pipeline: { getBindGroupLayout(index: number): object } | undefined;

  constructor(device: GpuDevice) {
    this.#device = device;
  }

  /** Submits the packing of so many elements. */
  run(wide: GpuBuffer, packed: GpuBuffer, elements: number): void {
    const device = this.#device;
    const pipeline = this.#pipeline ??= device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: CODE }), entryPoint: "main" },
    }) as { getBindGroupLayout(index: number): object };
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [
        { binding: 0, resource: { buffer: wide, size: 4 * elements } },
        { binding: 1, resource: { buffer: packed } },
      ],
    });
    const groups = Math.ceil(elements / 4 / THREADS), x = Math.min(groups, MOST_GROUPS);
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, Math.ceil(groups / x));
    pass.end();
    device.queue.submit([encoder.finish()]);
  }
}
