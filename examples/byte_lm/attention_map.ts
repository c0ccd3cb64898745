import { attention, type Engine } from "../../mod.ts";
import { floats } from "./floats.ts";
import type { ByteModel } from "./model.ts";

/** What one head looks at: `weights[i * length + j]` is how much byte i takes from byte j. */
export interface AttentionMap {
  layer: number;
  head: number;
  length: number;
  weights: Float32Array;
}

/**
 * The attention of every head on one text. Attention with the identity matrix as its values
 * returns the probabilities themselves, so the library needs no other way to show them.
 */
export async function attentionMaps(
  model: ByteModel,
  tokens: Uint8Array,
  engine: Engine,
): Promise<AttentionMap[]> {
  const length = tokens.length;
  const { heads, kvHeads } = model.shape;
  const identity = new Float32Array(length * kvHeads * length);
  for (let i = 0; i < length; i++) {
    for (let h = 0; h < kvHeads; h++) {
      identity[(i * kvHeads + h) * length + i] = 1;
    }
  }
  const v = { data: identity, shape: [1, length, kvHeads, length] };

  const maps: AttentionMap[] = [];
  for (
    const [layer, { q, k }] of (await model.queriesAndKeys(tokens)).entries()
  ) {
    const { out } = await attention(q, k, v, { causal: true, engine });
    for (let head = 0; head < heads; head++) {
      const weights = new Float32Array(length * length);
      for (let i = 0; i < length; i++) {
        const row = (i * heads + head) * length;
        weights.set(floats(out).subarray(row, row + length), i * length);
      }
      maps.push({ layer, head, length, weights });
    }
  }
  return maps;
}

/** The piece of text where most groups of three letters occur again: heads that copy show there. */
export function mostRepetitivePiece(
  bytes: Uint8Array,
  length: number,
): Uint8Array {
  let best = 0, bestScore = -Infinity;
  for (let from = 0; from + length <= bytes.length; from++) {
    const seen = new Set<number>();
    let score = 0;
    for (let i = from; i + 3 <= from + length; i++) {
      const a = bytes[i]!, b = bytes[i + 1]!, c = bytes[i + 2]!;
      if (a > 126) score--; // no letter of the chart's font
      if (![a, b, c].every(isLetter)) continue;
      const three = a << 16 | b << 8 | c;
      if (seen.has(three)) score++;
      seen.add(three);
    }
    if (score > bestScore) [best, bestScore] = [from, score];
  }
  return bytes.subarray(best, best + length);
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}
