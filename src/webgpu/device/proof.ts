// The proof that a device computes: drivers lie, so nothing is trusted before a small kernel gave the right numbers.
import { probeShader } from "../../../shaders/kernels/probe.ts";
import { type GpuBuffer, type GpuDevice, MAP_READ, USAGE } from "./api.ts";

/** Runs the probe; its milliseconds, or what is wrong. */
export async function prove(device: GpuDevice): Promise<{ ms: number } | { wrong: string }> {
  const n = 64, bytes = n * 4;
  const buffers: GpuBuffer[] = [];
  const make = (usage: number) => {
    const buffer = device.createBuffer({ size: bytes, usage });
    buffers.push(buffer);
    return buffer;
  };
  device.pushErrorScope("validation");
  const input = make(USAGE.storage | USAGE.copyTarget);
  const output = make(USAGE.storage | USAGE.copySource);
  const staging = make(USAGE.mapRead | USAGE.copyTarget);
  try {
    const values = Float32Array.from({ length: n }, (_, i) => i / 8 - 3);
    device.queue.writeBuffer(input, 0, values);
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: probeShader(n) }), entryPoint: "main" },
    }) as { getBindGroupLayout(index: number): object };
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [input, output].map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(output, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    const error = await device.popErrorScope();
    if (error) return { wrong: error.message };
    await staging.mapAsync(MAP_READ);
    const got = new Float32Array(staging.getMappedRange()).slice();
    staging.unmap();
    // the first launch compiled: a second read-back is what calls will wait for
    const again = device.createCommandEncoder(), start = performance.now();
    again.copyBufferToBuffer(output, 0, staging, 0, bytes);
    device.queue.submit([again.finish()]);
    await staging.mapAsync(MAP_READ);
    const ms = performance.now() - start;
    staging.unmap();
    const want = values.map((x, i) => values[n - 1 - i]! * x + Math.exp(x));
    const near = (x: number, y: number) => Math.abs(x - y) <= 1e-4 * (1 + Math.abs(y));
    const bad = got.findIndex((x, i) => !near(x, want[i]!));
    return bad < 0 ? { ms } : { wrong: `element ${bad} is ${got[bad]} but must be ${want[bad]}` };
  } catch (error) {
    return { wrong: (error as Error).message };
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}
