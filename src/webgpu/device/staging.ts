// Bytes of the device come home through staging buffers: copied, mapped, read, given back for the next time.
import type { GpuBuffer, GpuCommandEncoder } from "./api.ts";
import type { OpenDevice } from "./device.ts";
import type { BufferPool } from "./memory.ts";

/** What a way home needs. */
interface Home {
  readonly open: OpenDevice;
  readonly memory: BufferPool;
}

/**
 * Copies through staging buffers of so many bytes, which are mapped at the same time: `record` fills them, `read` gets
 * what they hold. Rejects with what the device said of this and of work before it.
 */
export async function throughStaging<T>(
  { open, memory }: Home,
  sizes: readonly number[],
  action: string,
  record: (encoder: GpuCommandEncoder, staging: readonly GpuBuffer[]) => void,
  read: (ranges: readonly ArrayBuffer[]) => T,
): Promise<T> {
  const staging: GpuBuffer[] = [];
  let whole = false;
  try {
    for (const bytes of sizes) staging.push(memory.take(bytes, true));
    open.checked(action, () => {
      const encoder = open.device.createCommandEncoder();
      record(encoder, staging);
      open.device.queue.submit([encoder.finish()]);
    });
    await open.mapped(staging, action);
    const result = read(staging.map((buffer) => buffer.getMappedRange()));
    for (const buffer of staging) buffer.unmap();
    whole = true;
    return result;
  } catch (error) {
    throw memory.closed ? new TypeError(`${action}: its engine was disposed`) : error;
  } finally {
    // after an error they may be mapped, or will be: a device copies to no such buffer, ever
    for (const buffer of staging) whole ? memory.give(buffer) : memory.discard(buffer);
  }
}
