// Bringing results home: all in one read-back, because each wait costs about 11 ms in Deno. Several staging buffers,
// mapped at the same time, only where one could not hold them all.
import { bits } from "../../tensor/dtype.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { GpuBuffer } from "./api.ts";
import type { OpenDevice } from "./device.ts";
import type { BufferPool } from "./memory.ts";
import { throughStaging } from "./staging.ts";

/** A buffer that is copied to a host tensor, from its begin. */
export interface Wanted {
  readonly buffer: GpuBuffer;
  readonly bytes: number;
  readonly host: HostTensor;
}

/** Results that share a staging buffer. */
interface Batch {
  readonly wanted: { readonly result: Wanted; readonly at: number }[];
  bytes: number;
}

/** As few batches as the largest buffer allows. */
function batchesOf(results: readonly Wanted[], largest: number): Batch[] {
  const batches: Batch[] = [];
  for (const result of results) {
    if (result.bytes === 0) continue;
    const size = Math.ceil(result.bytes / 16) * 16;
    let batch = batches[batches.length - 1];
    if (!batch || batch.bytes + size > largest) batches.push(batch = { wanted: [], bytes: 0 });
    batch.wanted.push({ result, at: batch.bytes });
    batch.bytes += size;
  }
  return batches;
}

function copyHome({ wanted }: Batch, range: ArrayBuffer): void {
  for (const { result, at } of wanted) {
    const target = bits(result.host.data), Values = target.constructor as Float32ArrayConstructor;
    target.set(new Values(range, at, target.length));
  }
}

/** Fills the host tensors. */
export async function readBack(
  open: OpenDevice,
  memory: BufferPool,
  results: readonly Wanted[],
  action: string,
): Promise<void> {
  const batches = batchesOf(results, open.target.limits.buffer);
  if (batches.length === 0) return;
  await throughStaging(
    { open, memory },
    batches.map(({ bytes }) => bytes),
    action,
    (encoder, staging) =>
      batches.forEach(({ wanted }, n) => {
        for (const { result: { buffer, bytes }, at } of wanted) {
          encoder.copyBufferToBuffer(buffer, 0, staging[n]!, at, Math.ceil(bytes / 4) * 4);
        }
      }),
    (ranges) => batches.forEach((batch, n) => copyHome(batch, ranges[n]!)),
  );
}
