/** Results that must be the same to the last bit. */

import assert from "node:assert/strict";
import type { BackwardResult, ForwardResult } from "./backends.ts";
import type { TestTensor } from "./reference/problem.ts";

/** Throws where a result has other bits than the wanted one. */
export function assertSameBits(
  got: ForwardResult | BackwardResult,
  want: ForwardResult | BackwardResult,
  about: string,
): void {
  const wanted: Readonly<Record<string, TestTensor | undefined>> = { ...want };
  for (const [name, tensor] of Object.entries<TestTensor>({ ...got })) {
    const other = wanted[name];
    assert.ok(other, `${name} appeared: ${about}`);
    const [a, b] = [bitsOf(tensor), bitsOf(other)];
    let place = a.length === b.length ? -1 : a.length;
    for (let n = a.length; n-- > 0;) if (a[n] !== b[n]) place = n;
    assert.equal(place, -1, `bits of ${name} differ at element ${place}: ${about}`);
  }
}

function bitsOf({ data }: TestTensor): Uint16Array | Uint32Array {
  return data.BYTES_PER_ELEMENT === 4
    ? new Uint32Array(data.buffer, data.byteOffset, data.length)
    : new Uint16Array(data.buffer, data.byteOffset, data.length);
}
