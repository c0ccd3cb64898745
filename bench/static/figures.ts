/**
 * Figures of a kernel from what a compiler says of it.
 * @module
 */

import { decodeLayout, type DecodeShape } from "../../shaders/abi.ts";
import type { Row } from "../measure/store.ts";
import type { Analyzer, Counts, Report } from "./kit.ts";

/** Classes of instructions that are stored, of a turn of the loop over tiles. */
const MIX = [
  "fma",
  "float",
  "integer",
  "select",
  "clamp",
  "move",
  "lds",
  "memory",
  "barrier",
] as const;

/** Clocks of a Hopper SM for 512 bytes: 3.35 TB/s over 132 of them at 1.75 GHz. */
const CLOCKS_OF_512_BYTES = 29;

const slotsOf = ({ isa }: Report, { all, vector }: Counts) => isa === "amd" ? vector : all;

/**
 * Issue slots of a turn and its multiply-adds. The analyzer takes the trips of loops from the tile's shape and may take too
 * many, which its sum of multiply-adds shows: these are taken off, with what loops issue beside each.
 */
function tileSlots(report: Report): { slots: number; fmas: number } | undefined {
  const { tile, hot, expected: fmas } = report;
  if (!tile || !fmas) return undefined;
  const more = tile.fma - fmas,
    sum = (of: (c: Counts) => number) => hot.reduce((n, c) => n + of(c), 0);
  const slots = slotsOf(report, tile), loops = sum(({ fma }) => fma);
  if (more < 0.03 * fmas || loops === 0) return { slots, fmas };
  return { slots: Math.round(slots - more * sum((c) => slotsOf(report, c)) / loops), fmas };
}

/**
 * Turns of the loops of a decode kernel in a block of keys: those of k, sums of lanes, weights, those of v. The search for
 * the maximum of a row, within weights, counts once.
 */
function decodeTrips(shape: DecodeShape, inner: number): number[] | undefined {
  const { rows, threads, keys, turns } = shape, { block, groups, shares } = decodeLayout(shape);
  const own = block / groups, loads = keys > 1 ? [8, 4, 2].find((n) => own % n === 0) ?? 1 : 1;
  const sums = Math.ceil(rows * block / threads);
  const all = [turns, sums, Math.ceil(rows * groups * shares / threads), own / loads];
  // a loop of one turn may be none
  return inner === 4 ? all : inner === 3 && turns === 1 ? all.slice(1) : undefined;
}

/** Clocks that a key takes, by issue slots, and by the bytes of its rows of k and v on an H100. */
function decodeClocks(
  report: Report,
  dir: string,
  { turnOf }: Analyzer,
): { slots: number; counts: Counts; ratio: number } | undefined {
  const { decode: shape, isa, stored } = report;
  if (!shape || isa !== "nv") return undefined;
  let known = true;
  const { counts } = turnOf(dir, report, (inner) => {
    const trips = decodeTrips(shape, inner);
    known = trips !== undefined;
    return trips ?? [];
  });
  if (!known) return undefined;
  const { threads, head4, value4 } = shape;
  const bytes = 4 * (head4 + value4) * (stored === "f32" ? 4 : 2);
  const clocks = counts.all * (threads / 32) / 4 / decodeLayout(shape).block;
  return { slots: counts.all, counts, ratio: clocks / (bytes * CLOCKS_OF_512_BYTES / 512) };
}

const spillsOf = ({ isa, stats }: Report) =>
  (isa === "amd" ? stats["Spilled VGPRs"] : stats["Spills to memory"]) ?? 0;

/** Hopper: 64 Ki registers and 227 KiB of an SM; RDNA: 512 registers of 64 lanes, 128 KiB of a pair of CUs. */
function occupancy({ isa, stats, plan }: Report, registers: number): number | null {
  if (!plan) return null;
  const threads = plan.nx * plan.ny;
  if (isa === "nv") {
    const byRegisters = Math.floor(65536 / (Math.ceil(registers / 8) * 8 * threads));
    return Math.min(byRegisters, Math.floor(227 * 1024 / (plan.bytes + 1024)), 32) * threads / 32;
  }
  const lds = stats["LDS size"]!, byMemory = Math.floor(131072 / lds) * Math.ceil(threads / 64) / 4;
  return Math.min(16, Math.floor(512 / registers), byMemory);
}

/** The row of a kernel. `warps`: of an SM, or waves of a SIMD. */
export function figuresOf(
  report: Report,
  dir: string,
  analyzer: Analyzer,
  about: { readonly gpu: string; readonly compiler: string; readonly date: string },
): Row {
  const { kernel, headDim, precision, call, plan, stats, isa } = report;
  const registers = (isa === "amd" ? stats["VGPRs"] : stats["Number of GPRs"])!;
  const tiled = tileSlots(report), decode = decodeClocks(report, dir, analyzer);
  const counts = report.tile ?? decode?.counts;
  const mix = MIX.map((kind) => [`${kind}Slots`, counts?.kinds[kind] ?? null] as const);
  return {
    ...{ state: "now", kernel, call, headDim, precision, stored: report.stored, ...about },
    tile: plan
      ? `${plan.ny}x${plan.nx} ${plan.tm}x${plan.tn} c${plan.chunk} u${plan.unroll}`
      : null,
    workgroupBytes: plan?.bytes ?? stats["LDS size"] ?? null,
    ...{ registers, spills: spillsOf(report), warps: occupancy(report, registers) },
    codeBytes: stats["Code size"] ?? null,
    slots: tiled?.slots ?? decode?.slots ?? null,
    share: tiled ? Number((tiled.fmas / tiled.slots).toFixed(3)) : null,
    ofBytes: decode ? Number(decode.ratio.toFixed(2)) : null,
    ...Object.fromEntries(mix),
  };
}
