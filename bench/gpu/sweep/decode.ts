/**
 * Decode: key parts and threads, beside what the planner chooses, as a share of the bandwidth.
 * @module
 */

import { decodeBlock, decodeBytes, type DecodeShape } from "../../../shaders/decode.ts";
import { decodeItems, localSpans } from "../../../src/plan/items_webgpu.ts";
import type { GpuPlan } from "../../../src/plan/plan_webgpu.ts";
import { type Case, kvBytes } from "../../cases.ts";
import { nullForNaN } from "../../goals.ts";
import type { RaceOptions, Timing } from "../../measure.ts";
import type { Results } from "../../store.ts";
import { digits3, milliseconds, percent, printTable, times } from "../../table.ts";
import { raceOnGpu } from "../clock.ts";
import { type GpuContext, rate, reasonOf, timingFields } from "../context.ts";
import type { SweepDevice } from "./device.ts";
import type { Deadline, SweepOptions } from "./options.ts";
import { type Launch, SweepCase } from "./subject.ts";

type Storage = "f32" | "f16";

/** How the keys are divided. */
interface Division {
  readonly parts: number;
  readonly threads: number;
  readonly timing?: Timing;
  readonly error: number;
  readonly failed?: string;
}

const LOOK: RaceOptions = { samples: 2, budgetMs: 200, warmUpMs: 10 };
const FINAL: RaceOptions = { samples: 7, budgetMs: 1000, warmUpMs: 60 };
const HEADS = 32;
const BYTES = { least: 2 ** 24, most: 1.2e9 };
const PARTS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/** Fewer keys are not worth a workgroup and its share of the merge. */
const LEAST_KEYS = 64;
const MOST_WORKGROUPS = 8192;

interface DecodeCase {
  readonly c: Case;
  readonly dtype: Storage;
}

function casesOf({ software, quick, dims, lengths, heads }: SweepOptions): DecodeCase[] {
  const all: DecodeCase[] = [], few = software || quick;
  const dim = dims.includes(128) || software ? 128 : dims[0];
  const keys = software ? [1024] : quick ? [32768] : [32768, 4096, 131072, 16384, 65536, 8192];
  for (const dtype of few ? ["f32"] as const : ["f32", "f16"] as const) {
    for (const lengthK of keys) {
      for (const batch of few ? [1] : [1, 4, 16]) {
        for (const group of software ? [8] : quick ? [1, 8] : [1, 4, 8, 16]) {
          const queryHeads = heads?.[0] ?? HEADS, kvHeads = Math.floor(queryHeads / group);
          if (kvHeads < 1 || kvHeads * group !== queryHeads) continue;
          const name = `${batch}x${queryHeads}/${kvHeads}x1x${lengthK}x${dim}`;
          const c = { name, batch, queryHeads, kvHeads, lengthQ: 1, lengthK, headDim: dim };
          all.push({ c, dtype });
        }
      }
    }
  }
  void lengths;
  return all.filter(({ c }) => software || (kvBytes(c) >= BYTES.least && kvBytes(c) <= BYTES.most));
}
