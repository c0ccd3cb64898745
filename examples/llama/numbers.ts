/** How files store numbers, and turning them into float32. */

/** Types of stored numbers that can be read. */
export type Stored = "f32" | "f16" | "bf16" | "q8_0";

/** Numbers of a block of q8_0, and its bytes: a scale in f16, then a byte each. */
const BLOCK = 32, BLOCK_BYTES = 34;

/** Bytes that `count` numbers take. */
export function storedBytes(type: Stored, count: number): number {
  if (type === "q8_0") return Math.ceil(count / BLOCK) * BLOCK_BYTES;
  return count * (type === "f32" ? 4 : 2);
}

/** `count` stored numbers as float32. */
export function toFloats(
  type: Stored,
  bytes: Uint8Array<ArrayBuffer>,
  count: number,
): Float32Array {
  const { buffer, byteOffset } = bytes;
  if (type === "f32") return new Float32Array(buffer, byteOffset, count);
  if (type === "f16") return Float32Array.from(new Float16Array(buffer, byteOffset, count));
  if (type === "q8_0") return fromBlocks(bytes, count);
  // bf16 is the upper half of float32
  const bits = Uint32Array.from(new Uint16Array(buffer, byteOffset, count), (half) => half << 16);
  return new Float32Array(bits.buffer);
}

function fromBlocks({ buffer, byteOffset }: Uint8Array, count: number): Float32Array {
  const view = new DataView(buffer, byteOffset), floats = new Float32Array(count);
  for (let at = 0, block = 0; at < count; at += BLOCK, block += BLOCK_BYTES) {
    const scale = view.getFloat16(block, true);
    const end = Math.min(BLOCK, count - at);
    for (let i = 0; i < end; i++) floats[at + i] = scale * view.getInt8(block + 2 + i);
  }
  return floats;
}
