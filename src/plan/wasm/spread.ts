// Regions for workers that each have a memory of their own: a region goes to one of them, so there must be some for each.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";
import { CHUNK_KEYS, type Region } from "./regions.ts";

/** Regions for each worker: of about the same size, so that the last to finish is not far behind. */
const REGIONS_EACH = 3;

/** So many pieces, or some more where they are then of one size: one that is larger keeps its worker longer. */
function evenCount(units: number, count: number): number {
  const least = Math.min(units, count);
  for (let n = least; n <= Math.min(units, 2 * count); n++) if (units % n === 0) return n;
  return least;
}

/** Borders of so many about equal ranges at multiples of `multiple`. */
function ranges(begin: number, end: number, count: number, multiple = 1): [number, number][] {
  const units = Math.max(1, Math.ceil((end - begin) / multiple)), n = evenCount(units, count);
  const border = (i: number) => Math.min(end, begin + Math.floor(i * units / n) * multiple);
  return Array.from({ length: n }, (_, i) => [border(i), border(i + 1)]);
}

/** Regions of the same heads, whose rows add to the same dK and dV. */
const headsId = ({ batchBegin, kvHeadBegin }: Region) => `${batchBegin} ${kvHeadBegin}`;

/**
 * Regions cut until there are some for each of `workers`: by sequences, by heads, and in forward by whole blocks of rows. Each
 * row and each key is computed as in one region: no bit of a result changes. Backward of fewer heads than workers is cut by
 * keys, as where memory is short: dQ is then a sum of parts, in their order.
 */
export function spreadRegions(
  problem: AttentionProblem,
  kernel: KernelName,
  regions: readonly Region[],
  rows: number,
  workers: number,
): Region[] {
  if (workers === 0 || regions.length === 0) return [...regions];
  const wanted = workers * REGIONS_EACH, cut = cutRegions(problem, kernel, regions, rows, wanted);
  const heads = new Set(cut.map(headsId)).size;
  return kernel !== "backward" || heads >= workers ? cut : cutKeys(cut, Math.ceil(wanted / heads));
}

/** All rows of the first keys, then all rows of those behind them. */
function cutKeys(regions: readonly Region[], pieces: number): Region[] {
  const chunks = regions.map(({ keyBegin, keyEnd }) =>
    ranges(keyBegin, keyEnd, pieces, CHUNK_KEYS)
  );
  const most = chunks.reduce((n, { length }) => Math.max(n, length), 0);
  return Array.from({ length: most }, (_, n) =>
    regions.flatMap((region, i) => {
      const [keyBegin, keyEnd] = chunks[i]![n] ?? [];
      return keyBegin === undefined ? [] : [{ ...region, keyBegin, keyEnd: keyEnd! }];
    })).flat();
}

function cutRegions(
  { pass }: AttentionProblem,
  kernel: KernelName,
  regions: readonly Region[],
  rows: number,
  wanted: number,
): Region[] {
  if (regions.length >= wanted) return [...regions];
  const pieces = Math.ceil(wanted / regions.length);
  return regions.flatMap((region) => {
    const { batchBegin, batchEnd, kvHeadBegin, kvHeadEnd, rowBegin, rowEnd } = region;
    const batches = ranges(batchBegin, batchEnd, pieces);
    const heads = ranges(kvHeadBegin, kvHeadEnd, Math.ceil(pieces / batches.length));
    const left = Math.ceil(pieces / (batches.length * heads.length));
    const cutsRows = pass === "forward" && kernel === "forward";
    const blocks = cutsRows ? ranges(rowBegin, rowEnd, left, rows) : [[rowBegin, rowEnd] as const];
    return batches.flatMap(([batchBegin, batchEnd]) =>
      heads.flatMap(([kvHeadBegin, kvHeadEnd]) =>
        blocks.map(([rowBegin, rowEnd]) => ({
          ...region,
          ...{ batchBegin, batchEnd, kvHeadBegin, kvHeadEnd, rowBegin, rowEnd },
        }))
      )
    );
  });
}
