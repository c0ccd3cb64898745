// From fused to separate multiply-adds, for hosts without relaxed SIMD (docs/decisions/002).

/**
 * Turns the relaxed build into the plain one, in place. Where a multiply-add was, `a b (const 0,
 * drop) c relaxed_madd` becomes `a b mul c add`, three bytes each. Dot products of
 * bytes become any instructions of that length: what has them does not run in the plain build. That no pattern occurs
 * elsewhere is checked when the kernels are built (tools/build/build.ts).
 */
export function unrelax(
  bytes: Uint8Array<ArrayBuffer>,
  flagOffset: number,
): Uint8Array<ArrayBuffer> {
  for (let i = 0; i + 2 < bytes.length; i++) {
    const three = bytes[i]! << 16 | bytes[i + 1]! << 8 | bytes[i + 2]!;
    if (three === 0x41001a) bytes.set([0xfd, 0xe6, 0x01], i);
    else if (three === 0xfd8502) bytes.set([0xfd, 0xe4, 0x01], i);
    else if (three === 0xfd9302) bytes.set([0xfd, 0xae, 0x01], i);
    else if (three === 0xfd9202) bytes.set([0xfd, 0x82, 0x01], i);
    else continue;
    i += 2;
  }
  bytes[flagOffset] = 0;
  return bytes;
}
