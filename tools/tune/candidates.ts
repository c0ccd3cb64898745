/**
 * The tiles that a sweep tries. A tile may come out in several ways: whole, in blocks of columns, dk
 * and dv together or apart; what the planner would take is one of them.
 * @module
 */

import { geometry, type TileShape } from "../../shaders/abi.ts";
import {
  chooseTile,
  type ChosenTile,
  type TileNeeds,
  type TunedTarget,
} from "../../src/plan/webgpu/tiles.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import type { SweptKernel } from "./options.ts";

/** What tiles are wanted for. */
export interface Search {
  readonly kernel: SweptKernel;
  readonly needs: TileNeeds;
  readonly target: WebGpuTarget;
}

export interface Candidate {
  /** Names the tile and how it came out: equal for equal kernels. */
  readonly id: string;
  readonly chosen: ChosenTile;
  /** Its name in `NAMED`, or "". */
  readonly named: string;
  /** What the planner would do otherwise with this tile, or "". */
  readonly note: string;
}

/** By nx, ny, tm, tn, chunk: what counting loads and registers by hand found. */
const NAMED: Readonly<Record<string, string>> = {
  "16 8 8 4 64": "A64 B128",
  "8 16 8 8 32": "A32 B64",
  "8 16 4 8 32": "other",
  "8 8 8 4 32": "other",
  "16 4 8 4 64": "other",
  "16 16 4 4 64": "A256 D128",
  "16 8 4 4 64": "other",
  "8 8 4 4 32": "S",
  "8 8 4 4 64": "S",
  "16 16 8 4 64": "A128 B256",
  "16 16 8 8 64": "C128",
};

/** Registers of a thread: more do not exist on NVIDIA's, and elsewhere spill earlier. */
const MOST_REGISTERS = 255;
/** More blocks of columns repeat the scores more often than a tile can make up for. */
const MOST_BLOCKS = 2;
/** Fewer leave lanes of a subgroup idle. */
const LEAST_THREADS = 32;

export function tileName(shape: TileShape): string {
  const { nx, ny, tm, tn, chunk, depth, unroll, resident } = shape;
  return `${nx}x${ny} ${tm}x${tn} c${chunk} d${depth} u${unroll}${resident ? " resident" : ""}`;
}

/** A row of the planner's table. */
export function tileText({ resident, ...shape }: TileShape): string {
  const sizes = Object.entries(shape).map(([k, v]) => `${k}: ${v}`);
  return `{ ${[...sizes, ...(resident ? ["resident: true"] : [])].join(", ")} },`;
}

function blocksOf({ needs }: Search, { tile, blockChunks }: ChosenTile): number {
  return Math.ceil(Math.ceil(needs.headDim / tile.chunk) / blockChunks);
}

/** What a tile became, beside its name. */
function outcome(search: Search, chosen: ChosenTile): string {
  const blocks = blocksOf(search, chosen), apart = search.kernel === "dkv" && !chosen.fused;
  return (apart ? " apart" : "") + (blocks > 1 ? ` ${blocks} blocks` : "");
}

export function candidateOf(search: Search, chosen: ChosenTile, note: string = ""): Candidate {
  const { nx, ny, tm, tn, chunk } = chosen.tile;
  const named = NAMED[[nx, ny, tm, tn, chunk].join(" ")] ?? "";
  return { id: tileName(chosen.tile) + outcome(search, chosen), chosen, named, note };
}

function forced({ kernel, needs, target }: Search, tile: TileShape): ChosenTile | undefined {
  try {
    geometry(tile);
    const forced: TunedTarget = { ...target, tiles: { [kernel]: tile } };
    return chooseTile(kernel, needs, forced);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The ways in which a tile may come out. */
function candidatesOf(search: Search, tile: TileShape): Candidate[] {
  const planned = forced(search, tile), { kernel, needs, target } = search;
  if (!planned) return [];
  // a software target has a higher bound of registers
  const free = { ...search, target: { ...target, software: true } };
  const apart = { ...free, needs: { ...needs, split: true } }, usual = outcome(search, planned);
  const ways = [planned, forced(free, tile), ...(kernel === "dkv" ? [forced(apart, tile)] : [])];
  const all = new Map<string, Candidate>();
  for (const chosen of ways) {
    if (!chosen || chosen.registers > MOST_REGISTERS) continue;
    if (blocksOf(search, chosen) > MOST_BLOCKS) continue;
    const same = outcome(search, chosen) === usual;
    const note = same ? "" : `planner makes it${usual || " whole"}`;
    const candidate = candidateOf(search, chosen, note);
    if (!all.has(candidate.id)) all.set(candidate.id, candidate);
  }
  return [...all.values()];
}

/** Products that a vec4 load feeds, less for what is known to cost: an order, not a forecast. */
function promise(search: Search, { named, chosen }: Candidate): number {
  const { tile: { tm, tn, nx, ny }, registers, fused } = chosen;
  return tm * tn / (tm + tn) * (named ? 2 : 1) * (registers > 216 ? 0.8 : 1) *
    (nx * ny < 64 ? 0.7 : 1) * (fused ? 1 : 0.9) / blocksOf(search, chosen);
}

/** Three, which lavapipe compiles in a few seconds each. */
const SOFTWARE: readonly TileShape[] = ([[8, 4], [8, 8], [4, 8]] as const)
  .map(([nx, tm]) => ({ nx, ny: 8, tm, tn: 4, chunk: 32, depth: 32, unroll: 4 }));
const QUICK = 8;

/** Where a sweep begins, best first: every geometry once. */
export function firstCandidates(search: Search, quick: boolean): Candidate[] {
  if (search.target.software) {
    return SOFTWARE.flatMap((tile) => candidatesOf(search, tile).slice(0, 1));
  }
  const sides = { nx: [4, 8, 16, 32], ny: [4, 8, 16], tm: [4, 8], tn: [4, 8] };
  const sizes = { ...sides, chunk: [32, 64, 128], depth: [16, 32, 64] };
  const shapes = Object.entries(sizes).reduce(
    (all, [name, some]) => all.flatMap((a) => some.map((x) => ({ ...a, [name]: x }))),
    [{}],
  ) as Record<keyof typeof sizes, number>[];
  const all = shapes
    .filter(({ nx, ny }) => nx * ny >= LEAST_THREADS)
    .flatMap((shape) => candidatesOf(search, { ...shape, unroll: 8 }))
    .sort((a, b) => promise(search, b) - promise(search, a));
  return quick ? all.slice(0, QUICK) : all;
}

/** A tile with other unrolling, and with Q resident. */
export function relatives(search: Search, { chosen, id }: Candidate): Candidate[] {
  const { resident: _, ...tile } = chosen.tile;
  const others = [32, 16, 4].flatMap((unroll) => {
    const other = { ...tile, unroll };
    return search.kernel === "forward" ? [other, { ...other, resident: true }] : [other];
  });
  return others.flatMap((other) => candidatesOf(search, other))
    .filter((c) => c.id !== id && c.chosen.fused === chosen.fused);
}
