// Parts of a result that can be bound and dispatched, for calls that have no plan.
import { type Region, regionsOf } from "../../plan/webgpu/regions.ts";
import type { Axes } from "../../tensor/view.ts";
import type { Home } from "../device/tensors.ts";

/** Sizes of a result. */
interface Sizes {
  readonly batch: number;
  readonly heads: number;
  readonly length: number;
  readonly valueDim: number;
}

/** Ranges of a result in f32: halved along the longest stride until they can be bound. `action`: the call, for errors. */
export function ranges(
  { batch, heads, length, valueDim }: Sizes,
  strides: Axes,
  home: Home,
  action: string,
): Region[] {
  const { storageBinding, offsetAlignment, workgroups } = home.open.target.limits;
  const room = (storageBinding - offsetAlignment) / 4;
  const total = { batch, head: heads, row: length, group: 1, key: 1 };
  const size = { ...total, batch: Math.min(batch, workgroups), head: Math.min(heads, workgroups) };
  const axes = (["batch", "head", "row"] as const).map((name, n) => ({ name, stride: strides[n]! }))
    .sort((a, b) => b.stride - a.stride);
  const extent = () =>
    axes.reduce((sum, { name, stride }) => sum + (size[name] - 1) * stride, valueDim);
  while (extent() > room) {
    const axis = axes.find(({ name }) => size[name] > 1);
    if (!axis) throw new RangeError(`Cannot run ${action}: a row of ${valueDim} does not fit`);
    size[axis.name] = Math.ceil(size[axis.name] / 2);
  }
  return regionsOf(total, size);
}
