// The bytes of the kernels. The package holds one binary, relaxed SIMD importing unshared memory; the
// plain build and the shared ones differ from it in bytes that are set here (docs/decisions/002).
import { relaxedFlagOffset, sharedFlagOffset, wasmHex } from "./kernels.gen.ts";
import { unrelax } from "./lower_relaxed.ts";

/** Which vector instructions a build uses. */
export type SimdLevel = "relaxed" | "plain";

/** The bytes of a build. */
export function kernelBytes(level: SimdLevel, shared: boolean): Uint8Array<ArrayBuffer> {
  const { fromHex } = Uint8Array as { fromHex?: (text: string) => Uint8Array<ArrayBuffer> };
  const bytes = fromHex ? fromHex.call(Uint8Array, wasmHex) : decode(wasmHex);
  if (level === "plain") unrelax(bytes, relaxedFlagOffset);
  if (shared) bytes[sharedFlagOffset] = 3;
  return bytes;
}

/** For Node 20, which has no Uint8Array.fromHex. */
function decode(hex: string): Uint8Array<ArrayBuffer> {
  const digit = (i: number) => (hex.charCodeAt(i) & 15) + (hex.charCodeAt(i) > 57 ? 9 : 0);
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = digit(2 * i) << 4 | digit(2 * i + 1);
  return bytes;
}
