// Turning the rows of a tensor alone on the GPU.
import { turnedSpec } from "../../problem/results.ts";
import type { TurnCall } from "../../problem/rotations.ts";
import { count } from "../../tensor/shape.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { Home } from "../device/tensors.ts";
import type { Step } from "./dispatch.ts";
import { narrowSteps } from "./elementwise.ts";
import { ranges } from "./ranges.ts";
import { turnStep } from "./rotate.ts";
import { uploadRotations } from "./turned_rows.ts";
import { InputViews, storageKind, viewBuffer } from "./views.ts";

/** The steps that turn a tensor; 16 bits are rounded to once, from f32. */
export function turnSteps(
  home: Home,
  call: TurnCall,
  { buffer }: { readonly buffer: GpuBuffer },
  take: (bytes: number) => GpuBuffer,
): Step[] {
  const { view, rotation, inverse } = call, { interleaved } = rotation;
  const spec = turnedSpec(call), n = count(spec.shape), { limits } = home.open.target;
  if (n === 0) return [];
  const wide = spec.dtype === "f32", work = wide ? buffer : take(4 * n);
  const [batch, heads, length, headDim] = view.size, inputs = new InputViews(home, 1, take);
  const shape = { target: "dq", source: storageKind(view), interleaved, inverse } as const;
  const sizes = { batch, heads, length, valueDim: headDim };
  const steps = ranges(sizes, spec.strides, home, call.action).map((region) => {
    const place = { region, group: 1, alignment: limits.offsetAlignment };
    return turnStep({
      shape,
      part: {
        batch: region.batchEnd - region.batchBegin,
        heads: region.kvHeadEnd - region.kvHeadBegin,
        rows: region.rowEnd - region.rowBegin,
        headDim,
      },
      source: inputs.of(view, region),
      target: viewBuffer(work, 0, "dq", { ...spec, dtype: "f32" }, place),
      rotations: uploadRotations(home, rotation, "q", region, take),
    });
  });
  return wide ? steps : [...steps, ...narrowSteps(work, buffer, n, spec.dtype as "f16", limits)];
}
