/**
 * The library and its unfused rival as entrants of a race.
 * @module
 */

import type { Case, Operands } from "../cases.ts";
import type { GpuContext } from "./context.ts";
import { GpuSubject, roundedToHalf } from "../subjects/flashtile_webgpu.ts";
import type { Entrant } from "../measure/verified_race.ts";
import { outputError } from "../oracle.ts";
import { UnfusedOnGpu } from "../subjects/unfused_webgpu.ts";

/** f32 attention of unit normals errs by 1e-6; an f16 result is rounded to eleven bits. */
const TOLERANCE = { f32: 1e-5, f16: 4e-3 };

export type Storage = keyof typeof TOLERANCE;

/** A forward call on resident tensors. */
export function flashtile(
  { ours }: GpuContext,
  c: Case,
  data: Operands,
  causal: boolean,
  dtype: Storage = "f32",
): Entrant {
  return {
    tolerance: TOLERANCE[dtype],
    create() {
      if ("missing" in ours) throw new Error(ours.missing);
      const stored = dtype === "f16" ? roundedToHalf(data) : data;
      const subject = new GpuSubject(ours.engine, c, stored, { causal }, dtype);
      return {
        work: subject.forward(),
        error: async () => outputError(c, stored, causal, (await subject.saved()).out),
        dispose: () => subject.dispose(),
      };
    },
  };
}

export function unfused(
  { clock }: GpuContext,
  c: Case,
  data: Operands,
  causal: boolean,
): Entrant {
  return {
    tolerance: TOLERANCE.f32,
    async create() {
      const subject = await UnfusedOnGpu.create(clock.device, c, data, causal);
      return {
        work: subject.work(),
        error: async () => outputError(c, data, causal, await subject.output()),
        dispose: () => subject.dispose(),
      };
    },
  };
}
