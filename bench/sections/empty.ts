/**
 * What a Deno process costs that only allocates: taken off first_result.ts.
 * @module
 */

const data = new Float32Array(128 * 12 * 64).fill(0.5);
if (data[0] !== 0.5) throw new Error("unreachable");
