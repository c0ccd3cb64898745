/**
 * The program that fresh.ts times: one attention call with the defaults, and out. Written as
 * a user's script would be; it ends by itself.
 * @module
 */

import { attention } from "../../mod.ts";

const shape = [1, 128, 12, 64];
const data = new Float32Array(128 * 12 * 64).fill(0.5);
const { out } = await attention({ data, shape }, { data, shape }, { data, shape });
if (Math.abs(out.data[0]! - 0.5) > 1e-5) {
  throw new Error(`attention over equal values gave ${out.data[0]}`);
}
