/** Attention with a mask beside attention without, in turns. */
import type { BlockMask, Engine } from "@flashtile/attention";

export const HEAD_DIM = 64;

/** Milliseconds of each so far: medians of turns. */
export interface Race {
  readonly masked: number;
  readonly dense: number;
  readonly turns: number;
}

/** The middle one; the upper of two. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/**
 * Measures both in turns on an engine, on tensors that stay in its memory, until `turns` or `stop`; yields after each.
 * A turn before the first warms up, and does not count.
 */
export async function* raceOf(
  blockMask: BlockMask,
  length: number,
  engine: Engine,
  turns: number,
  stop: AbortSignal,
): AsyncGenerator<Race> {
  const values = (seed: number): Float32Array =>
    Float32Array.from({ length: length * HEAD_DIM }, (_, n) => Math.sin(seed + 0.37 * n));
  const tensors = [1, 2, 3].map((seed) => engine.tensor(values(seed), [1, length, 1, HEAD_DIM]));
  const [q, k, v] = tensors as [typeof tensors[0], typeof tensors[0], typeof tensors[0]];
  const time = async (options: { blockMask?: BlockMask }): Promise<number> => {
    const start = performance.now();
    const { out, lse } = await engine.attention(q, k, v, options);
    await lse.read(); // on a GPU the call returns before the work is done
    const milliseconds = performance.now() - start;
    out.dispose();
    lse.dispose();
    return milliseconds;
  };
  try {
    const masked: number[] = [], dense: number[] = [];
    for (let turn = 0; turn <= turns && !stop.aborted; turn++) {
      const both = [await time({ blockMask }), await time({})] as const;
      if (turn === 0) continue;
      masked.push(both[0]);
      dense.push(both[1]);
      yield { masked: median(masked), dense: median(dense), turns: turn };
    }
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}
