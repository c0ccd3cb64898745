// The bytes of the kernels. The package holds one binary, relaxed SIMD importing unshared memory; the
// plain build and the shared ones differ from it in bytes that are set here (docs/decisions/002).
import { packedKernels, relaxedFlagOffset, sharedFlagOffset, unpackerHex } from "./kernels.gen.ts";
import { unrelax } from "./lower_relaxed.ts";
import { type PackedKernels, unpack } from "./unpack.ts";

/** Which vector instructions a build uses. */
export type SimdLevel = "relaxed" | "plain";

let unpacked: Uint8Array<ArrayBuffer> | undefined;

/** The bytes of a build; `unpackWith` makes them of their text where none has asked before. */
export function kernelBytes(
  level: SimdLevel,
  shared: boolean,
  unpackWith: (packed: PackedKernels) => Uint8Array<ArrayBuffer> = unpackCompiled,
): Uint8Array<ArrayBuffer> {
  unpacked ??= unpackWith(packedKernels);
  const bytes = unpacked.slice();
  if (level === "plain") unrelax(bytes, relaxedFlagOffset);
  if (shared) bytes[sharedFlagOffset] = 3;
  return bytes;
}

/** Fast; throws where the host forbids compiling. */
export function unpackCompiled(packed: PackedKernels): Uint8Array<ArrayBuffer> {
  const { fromHex } = Uint8Array as { fromHex?: (text: string) => Uint8Array<ArrayBuffer> };
  return unpack(packed, fromHex ? fromHex.call(Uint8Array, unpackerHex) : decode(unpackerHex));
}

/** For Node 20, which has no Uint8Array.fromHex. */
function decode(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
