// Dispatches that find out what an operand of bytes says of the tiles of a region.
import type { Side } from "../../../shaders/features/feature.ts";
import { classifyShader } from "../../../shaders/kernels/classify.ts";
import type { ChosenTile } from "../../plan/webgpu/tiles.ts";
import { type GpuItem, mostTiles } from "../../plan/webgpu/work_items.ts";
import type { OperandName } from "../../tensor/operands.ts";
import type { Step } from "./dispatch.ts";
import type { RegionCall } from "./region_call.ts";

/** The tiles of items of a side, from item number `base` on. */
function classifyStep(
  r: RegionCall,
  of: OperandName,
  side: Side,
  items: readonly GpuItem[],
  base: number,
  { rows, columns }: ChosenTile,
): Step {
  const tiles = mostTiles(items), [, head] = r.schedule.inputs.get(of)!.strides;
  const x = items.length * tiles, y = head === 0 ? 1 : r.heads;
  return {
    kernel: { key: `classify ${of}, ${side}`, code: () => classifyShader(of, side) },
    bindings: { schedule: r.scheduleBuffer },
    params: {
      ...r.params,
      ...{ source_at: base, count: tiles, tile_rows: rows, tile_columns: columns },
    },
    x,
    y,
    z: 1,
    flops: x * y * rows * columns,
  };
}

/** The tiles of all items. */
export function classifySteps(r: RegionCall, of: OperandName): Step[] {
  const { region: { rowItems, keyItems }, schedule: { rowBase, keyBase }, call: { plan } } = r;
  const tile = (plan.forward ?? plan.dq ?? plan.inside)!;
  const steps = [classifyStep(r, of, "rows are queries", rowItems, rowBase, tile)];
  if (plan.dkv) steps.push(classifyStep(r, of, "rows are keys", keyItems, keyBase, plan.dkv));
  return steps;
}
