// Tiles of the GPU kernels: the only home of their shapes. A candidate is taken when its workgroup memory and
// threads are within the device's limits and its registers within what a GPU has for a thread.
import {
  type Geometry,
  geometry,
  HALF_DEPTH,
  keptBytes,
  powerBytes,
  tileBytes,
  type TileShape,
} from "../../../shaders/abi.ts";
import type { Precision } from "../../problem/precision.ts";
import type { WebGpuTarget } from "../target.ts";

/** The tiled kernels. */
export type TiledKernel = "forward" | "dq" | "dkv" | "pairSum" | "inside";

/**
 * A target with tiles of its own: those of a kernel are taken instead of the table's, those of a `tileClass` before them, by
 * calls that are large enough.
 */
export interface TunedTarget extends WebGpuTarget {
  readonly tiles?: TileTable;
}

/** Tiles by `TiledKernel` or by `tileClass`. */
export type TileTable = Readonly<Record<string, TileShape>>;

/** Calls that share a tile that was tuned: of one kernel, with heads that fill the same chunks of the narrowest tile. */
export function tileClass(
  kernel: TiledKernel,
  { headDim, valueDim, precision = "f32" }: Pick<TileNeeds, "headDim" | "valueDim" | "precision">,
): string {
  const dims = `${Math.ceil(headDim / 32) * 32} ${Math.ceil(valueDim / 32) * 32}`;
  return `${kernel} ${dims}${precision === "f32" ? "" : ` ${precision}`}`;
}

/** Operations of a call from which a tuned tile is taken: a smaller one is over before its tile matters. */
export const TUNED_FLOPS = 1e9;

/** A tile with the columns of the result that a workgroup makes. */
export interface ChosenTile {
  readonly tile: TileShape;
  /** Rows and columns of the whole tile, and threads of a workgroup. */
  readonly rows: number;
  readonly columns: number;
  readonly threads: number;
  /** Chunks of result columns of a workgroup; all of them unless they do not fit the registers. */
  readonly blockChunks: number;
  /** Only dkv: whether dK and dV are made by one kernel. */
  readonly fused: boolean;
  /** Workgroup memory, as we count it (wgpu does not check). */
  readonly bytes: number;
  /** Estimate of registers of a thread. */
  readonly registers: number;
}

/**
 * Registers that a thread may use before drivers spill; 255 is the most of NVIDIA's. On a software adapter they are
 * memory anyway, and what counts is the time to compile: D 300 in one block took 16 s, in blocks 3 s (lavapipe).
 */
const REGISTERS = { hardware: 220, large: 420, small: 140 };

/** Rows and columns that every tile has at least. */
export const LEAST_TILE = 32;

const SMALL: TileShape = { nx: 8, ny: 8, tm: 4, tn: 4, chunk: 32, depth: 32, unroll: 4 };

/**
 * Wide tiles first; `unroll` is the most. measured on an H200, forward (1, 16, 4096, 4096, D) without features, TFLOP/s:
 * D 64 with the second 34, with 16 x 16 threads 27, 8 x 8 scores a thread 27; D 128 with the first 31, with the second 24.
 */
const HARDWARE: readonly TileShape[] = [
  { nx: 16, ny: 16, tm: 8, tn: 4, chunk: 128, depth: 32, unroll: 32 },
  { nx: 16, ny: 8, tm: 8, tn: 4, chunk: 64, depth: 32, unroll: 32 },
  { nx: 8, ny: 8, tm: 8, tn: 4, chunk: 32, depth: 32, unroll: 32 },
  { nx: 16, ny: 16, tm: 4, tn: 4, chunk: 64, depth: 64, unroll: 32 },
  { nx: 16, ny: 16, tm: 4, tn: 4, chunk: 64, depth: 32, unroll: 32 },
  { nx: 16, ny: 8, tm: 4, tn: 4, chunk: 64, depth: 32, unroll: 32 },
  { ...SMALL, unroll: 32 },
];
/**
 * Machine code of a kernel in instructions of 16 bytes: a loop over tiles that is longer does not fit the instruction cache.
 * measured on an H200: 103 KB run as fast as fewer, 112 KB a little and 160 KB two to three times slower.
 */
const CODE = {
  ...{ most: 6400, rest: 1000, stage: 300, step: 1.1, runs: 0 },
  /** Two products an instruction; rounding what is staged, by vec4 of a thread, and what runs add to the sums. */
  halves: { stage: 130, step: 0.55, runs: 2.5 },
};
/**
 * Operations of a call from which products are unrolled as far as that: 0.3 ms of an H200, whose driver then compiles
 * for 1.3 s instead of 0.5. Unrolling changes no bit.
 */
const UNROLLED_FLOPS = 1e10;
const USUAL_UNROLL = 8;

/**
 * lavapipe and SwiftShader, where a dynamic load from workgroup memory costs more than the arithmetic. measured
 * on lavapipe, forward (1, 8, 1024, 1024, 64): 4x4 6.0 GFLOP/s, 8x4 8.0, 8x8 with nx 4 10.5. Compiling
 * it takes 3 s (SMALL: 0.5 to 1 s), so it is for work that is worth it.
 */
const SOFTWARE: TileShape = { ...SMALL, nx: 4, tm: 8, tn: 8, resident: true };
/**
 * Backward: its text is twice as long, so its tile is half as large. measured, (1, 8, 1024, 1024, 64): 7.0 GFLOP/s of its
 * products, SMALL 4.9; compiled for 2 to 3 s.
 */
const SOFTWARE_BACKWARD: TileShape = { ...SMALL, tm: 8 };
/** Operations of a call from which a software adapter takes the large tile. */
const SOFTWARE_FLOPS = 1e9;

/** Products of a kernel: scores of a thread, and accumulators of result rows. */
const SHAPE: Record<TiledKernel, { scores: number; sums: number }> = {
  forward: { scores: 1, sums: 1 },
  dq: { scores: 2, sums: 1 },
  dkv: { scores: 2, sums: 2 },
  pairSum: { scores: 3, sums: 0 },
  inside: { scores: 2, sums: 0 },
};

function registers(g: Geometry, scores: number, sumChunks: number): number {
  // a run of each sum, and what runs add up to
  const runs = g.halves ? g.tm * Math.max(g.tn, sumChunks > 0 ? 4 * g.cc : 0) : 0;
  return g.tm * g.tn * scores + 4 * g.tm * g.cc * sumChunks + runs + 2 * (g.tm + g.tn) + 28;
}

/** What a tile must fit. */
export interface TileNeeds {
  readonly headDim: number;
  readonly valueDim: number;
  /** Default f32. */
  readonly precision?: Precision;
  readonly flops: number;
  /** Only dkv: dK and dV are made by kernels of their own, because one would have too many storage buffers. */
  readonly split?: boolean;
  /** Whether a tile remembers which pairs are kept. */
  readonly kept?: boolean;
  /** Whether features have something to do for each score, which takes registers. */
  readonly paired?: boolean;
  /** Places where a function reads captured arrays that learn: the tiles of dQ are those of their sums too. */
  readonly learned?: number;
}

/** The tiles that are tried for a call, in this order. */
export function candidatesOf(
  kernel: TiledKernel,
  needs: TileNeeds,
  target: WebGpuTarget,
): readonly TileShape[] {
  const { tiles } = target as TunedTarget, forced = tiles?.[kernel];
  if (forced) return [forced];
  const tuned = needs.flops < TUNED_FLOPS ? undefined : tiles?.[tileClass(kernel, needs)];
  const usual = usualOf(kernel, needs, target);
  return tuned ? [tuned, ...usual] : usual;
}

function usualOf(
  kernel: TiledKernel,
  needs: TileNeeds,
  target: WebGpuTarget,
): readonly TileShape[] {
  if (needs.precision === "f16") return halvesOf(kernel, needs, target);
  if (!target.software) return HARDWARE;
  if (needs.flops < SOFTWARE_FLOPS) return [SMALL];
  return kernel === "forward"
    ? [SOFTWARE, { ...SOFTWARE, resident: false }, SMALL]
    : [SOFTWARE_BACKWARD, SMALL];
}

/**
 * The same tiles of halves, which take half the memory: on hardware Q stays where it fits. All are of one depth, since that
 * is how many products f16 adds up.
 */
function halvesOf(
  kernel: TiledKernel,
  needs: TileNeeds,
  target: WebGpuTarget,
): readonly TileShape[] {
  const stays = kernel === "forward" && !target.software;
  return usualOf(kernel, { ...needs, precision: "f32" }, target)
    .filter(({ depth }) => depth === HALF_DEPTH)
    .flatMap((tile) => {
      const halves = { ...tile, halves: true };
      return stays ? [{ ...halves, resident: true }, halves] : [halves];
    });
}

/**
 * The tile with as many steps in a turn of its products as its code allows; `step`: multiply-adds of all products in one,
 * `stages`: pieces of operands with a text of their own, or of halves the vec4 of a thread in them.
 */
function unrolled(
  tile: TileShape,
  step: number,
  stages: number,
  { flops }: TileNeeds,
): TileShape {
  const { stage, step: ofStep, runs } = tile.halves ? CODE.halves : CODE;
  const most = flops < UNROLLED_FLOPS ? USUAL_UNROLL : tile.unroll;
  const code = (unroll: number) => CODE.rest + stage * stages + (ofStep * unroll + runs) * step;
  const fits = (n: number) => tile.depth % n === 0 && n <= most && code(n) <= CODE.most;
  return { ...tile, unroll: [32, 16, 8, 4, 2].find(fits) ?? (tile.halves ? 4 : 1) };
}

/** Pieces of scores and of results, as `unrolled` counts them: those of scores are four vec4 of a thread. */
function staged({ halves, depth, c4, threads }: Geometry, scores: number, pieces: number): number {
  return halves ? 4 * scores + Math.ceil(depth * c4 / threads) * pieces : scores + pieces;
}

const chunksOf = (dim: number, { chunk }: TileShape): number => Math.ceil(dim / chunk);

/** Columns that padding to a tile's chunk adds to what the narrowest chunk, 32, adds. */
const overPads = (dim: number, tile: TileShape): boolean =>
  chunksOf(dim, tile) * tile.chunk > Math.ceil(dim / 32) * 32;

/** Workgroup memory of a kernel. */
function bytesOf(kernel: TiledKernel, g: Geometry, needs: TileNeeds): number {
  const [queries, keys] = kernel === "dkv" ? [g.columns, g.rows] : [g.rows, g.columns];
  const gradients = kernel === "dq" || kernel === "dkv" || kernel === "pairSum";
  return tileBytes(g, chunksOf(needs.headDim, g)) +
    (kernel === "forward" ? 4 * g.rows * (g.nx + 1) : 0) +
    (gradients ? powerBytes(g, queries, kernel !== "pairSum") : 0) +
    (kernel === "pairSum" ? 4 * g.threads : 0) +
    (needs.learned && kernel === "dq" ? 32 * g.threads : 0) +
    (needs.kept && kernel !== "inside" ? keptBytes(queries, keys) : 0) +
    (kernel === "inside" ? 4 * g.rows * (g.columns + 1) : 0) + 48; // the vote of tiles; variables begin at 16
}

/** The tile of a kernel. */
export function chooseTile(
  kernel: TiledKernel,
  needs: TileNeeds,
  target: WebGpuTarget,
): ChosenTile {
  const { headDim, valueDim } = needs, { scores, sums } = SHAPE[kernel];
  const { workgroupBytes, workgroupThreads } = target.limits;
  const candidates = candidatesOf(kernel, needs, target);
  const unrolls = !target.software && !(target as TunedTarget).tiles?.[kernel];
  let fallback: ChosenTile | undefined, fewest = Infinity;
  for (const tile of candidates) {
    const g = geometry(tile);
    const most = !target.software
      ? REGISTERS.hardware
      : tile.tm * tile.tn <= 16
      ? REGISTERS.small
      : REGISTERS.large;
    const bytes = bytesOf(kernel, g, needs);
    if (bytes > workgroupBytes || g.threads > workgroupThreads) continue;
    const head = chunksOf(headDim, tile), value = chunksOf(valueDim, tile);
    const result = kernel === "forward" ? value : kernel === "dq" ? head : Math.max(head, value);
    const whole = sums === 2 ? head + value : sums * result;
    const all = registers(g, scores, whole) + (needs.paired && !target.software ? 16 : 0);
    const fits = (blockChunks: number, fused: boolean, count: number): ChosenTile => {
      const pieces = g.parts * (fused ? whole : Math.min(sums, 1) * blockChunks);
      const step = g.tm * (g.tn * scores + 4 * g.cc * pieces);
      return {
        tile: unrolls ? unrolled(tile, step, staged(g, scores, pieces), needs) : tile,
        ...{ rows: g.rows, columns: g.columns, threads: g.threads },
        ...{ blockChunks, fused, bytes, registers: count },
      };
    };
    if (overPads(headDim, tile) || overPads(valueDim, tile)) continue;
    if (all <= most && !needs.split) return fits(result, true, all);
    // one result apart from the other, or one block of columns after the other: scores are made again for each
    const room = most - registers(g, scores, 0);
    const block = Math.max(1, Math.min(result, Math.floor(room / (4 * g.tm * g.cc))));
    const blocks = Math.ceil(result / block);
    if (blocks >= fewest) continue;
    fewest = blocks;
    fallback = fits(block, sums < 2 && blocks === 1, registers(g, scores, sums === 0 ? 0 : block));
  }
  if (fallback) return fallback;
  throw new RangeError(
    `no tile fits ${workgroupBytes} bytes of workgroup memory and ${workgroupThreads} threads`,
  );
}

/**
 * Workgroups from which a device is taken to be full: two for each processor of a large GPU, and four of decode, whose
 * loads nothing else hides. measured on an H200, of its bandwidth, with 264, 528 and 2048 of them, 32768 keys, D 128: one row
 * f32 79, 87 and 89 %, f16 60, 76 and 77 %; eight rows f32, with their merge, – , 53 and 47 %.
 */
export function targetWorkgroups(
  { software }: WebGpuTarget,
  kernel: "forward" | "decode" = "forward",
): number {
  return software ? 8 : kernel === "decode" ? 528 : 264;
}

/** What `longestStream` depends on. */
interface StreamNeeds extends Omit<TileNeeds, "flops"> {
  /** Of the largest keys, and of captured arrays. */
  readonly count: number;
  readonly elements?: number;
}

/**
 * Most keys or rows that a workgroup may stream. llvmpipe ends every loop of an invocation once all of them together
 * have run 65535 times (LP_MAX_TGSI_LOOP_ITERATIONS), and says nothing: results would be wrong. A tile of 32 takes
 * c4 turns and one more for each chunk of each product, four products at most; ten at most find out which pairs are kept.
 */
export function longestStream(
  { headDim, valueDim, count, elements = 0, kept = false, learned = 0 }: StreamNeeds,
  { software }: WebGpuTarget,
): number | undefined {
  if (!software) return undefined;
  const chunks = Math.ceil(headDim / 32) + Math.ceil(valueDim / 32);
  // each key of a tile is looked at, and at worst goes through a heap of `count`
  const key = count > 0 ? 2 + Math.ceil(Math.log2(count)) : 0, draws = kept ? 10 : 0;
  // sums of captured arrays: what each thread wrote down is read in 16 turns, 8 times a tile at most
  const turns = 18 * chunks + 6 + draws + 32 * key + 140 * learned;
  return Math.max(32, Math.floor((60000 - count / 8 - elements / 64) / turns) * 32);
}

/** Places of a heap that one dispatch puts in order; see `longestStream`. */
export function sortedAtOnce(count: number, { software }: WebGpuTarget): number {
  return software ? Math.max(1, Math.floor((60000 - count / 4) / (2 + Math.log2(count)))) : count;
}
