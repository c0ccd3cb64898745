/**
 * The workloads of the GPU bench: full sizes for hardware, small ones for a software adapter. Each
 * is named by its shape, batch × heads × length × head dimension.
 * @module
 */

import { type Case, normal, type Operands, shapes } from "../cases.ts";

const HARDWARE = ["4x16x1024x64", "4x16x1024x128", "1x16x4096x64", "1x16x4096x128"];
const LONG = ["1x8x16384x64", "1x8x16384x128"];

export function forwardCases(software: boolean, quick: boolean): Case[] {
  if (software) return named(quick ? ["1x8x1024x64"] : ["1x8x1024x64", "1x8x1024x128"]);
  return named(quick ? HARDWARE : [...HARDWARE, ...LONG]);
}

export function halfCases(software: boolean): Case[] {
  return named(software ? ["1x8x1024x64"] : ["1x16x4096x64", "1x16x4096x128"]);
}

export function backwardCases(software: boolean, quick: boolean): Case[] {
  if (software) return named(quick ? ["1x4x512x64"] : ["1x8x1024x64", "1x4x1024x128"]);
  return named(quick ? HARDWARE : [...HARDWARE, LONG[0]]);
}

/** Where the other libraries are met. */
export const PEER_SHAPE = "1x8x1024x64";

/** Keys and values that are streamed: fewer bytes than a large cache would measure the cache. */
const LEAST_DECODE_BYTES = 2 ** 25;
/** More would only take longer to make. */
const MOST_DECODE_BYTES = 1.2e9;
const DECODE_HEADS = 32;

/** One query for each of 32 heads, D 128, against many keys; 1, 4 or 8 heads share keys. */
export function decodeCases(software: boolean, quick: boolean): Case[] {
  const lengths = software ? [4096] : quick ? [4096, 32768] : [4096, 16384, 32768, 65536, 131072];
  const groups = [1, 4, 8];
  const all = lengths.flatMap((length) => groups.map((group) => decodeCase(length, group)));
  return all.filter((c) => {
    const bytes = 8 * c.batch * c.kvHeads * c.lengthK * c.headDim;
    return software || (bytes >= LEAST_DECODE_BYTES && bytes <= MOST_DECODE_BYTES);
  });
}

function decodeCase(lengthK: number, group: number): Case {
  const kvHeads = DECODE_HEADS / group;
  const name = `1x${DECODE_HEADS}/${kvHeads}x1x${lengthK}x128`;
  return { name, batch: 1, queryHeads: DECODE_HEADS, kvHeads, lengthQ: 1, lengthK, headDim: 128 };
}

/** Cases from their names, such as `1x8x4096x64`. */
export function named(names: readonly string[]): Case[] {
  return names.map((name) => {
    const sizes = name.split("x").map(Number);
    if (sizes.length !== 4 || !sizes.every((n) => Number.isInteger(n) && n > 0)) {
      throw new RangeError(`${name}: a shape is BATCHxHEADSxLENGTHxDIM, such as 1x8x4096x64`);
    }
    const [batch, heads, length, headDim] = sizes;
    const same = { queryHeads: heads, kvHeads: heads, lengthQ: length, lengthK: length };
    return { name, batch, headDim, ...same };
  });
}

/** A prime, so that the rows of a repetition differ. */
const BLOCK = 4_000_037;

/** Close to standard normal, like `operands`; long arrays repeat, since making them takes longest. */
export function gpuOperands(c: Case): Operands {
  const { q, kv } = shapes(c);
  const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
  return {
    q: values(size(q), 1),
    k: values(size(kv), 2),
    v: values(size(kv), 3),
    dOut: values(size(q), 4),
  };
}

function values(count: number, seed: number): Float32Array {
  if (count <= BLOCK) return normal(count, seed);
  const all = new Float32Array(count);
  const block = normal(BLOCK, seed);
  for (let at = 0; at < count; at += BLOCK) all.set(block.subarray(0, count - at), at);
  return all;
}
