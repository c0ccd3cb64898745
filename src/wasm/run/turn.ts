// Turning the rows of a tensor alone, at once.
import { turningRows } from "../../problem/features/row_rotation.ts";
import { turnedSpec } from "../../problem/results.ts";
import type { TurnCall } from "../../problem/rotations.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import { disposeResults, makeResults, type ResultView } from "../memory/results.ts";
import type { KernelExports } from "../module/module.ts";
import { bringHead, takeHead } from "./heads.ts";
import { placeTable } from "./rotation.ts";

/** A tensor with its rows turned. */
export function turnTensor(
  memory: LinearMemory,
  kernels: KernelExports,
  call: TurnCall,
): ResultView {
  const { view, rotation, inverse } = call, { dims, interleaved } = rotation;
  const results = makeResults(memory, [turnedSpec(call)]), [result] = results;
  const [batch, heads, length, columns] = view.size, pitch = 4 * columns;
  const blocks: number[] = [];
  const allocate = (bytes: number) => {
    const pointer = memory.allocate(bytes + 16);
    blocks.push(pointer);
    return pointer;
  };
  try {
    const table = placeTable(memory, rotation, allocate);
    const rows = allocate(length * pitch), temporary = allocate(length * pitch);
    for (let b = 0; b < batch; b++) {
      const { first, count } = turningRows(rotation, b, [0, length]);
      const at = table + 4 * dims * first;
      for (let h = 0; h < heads; h++) {
        bringHead(memory, kernels, view, [b, h], rows, temporary);
        kernels.rotate(rows, pitch, count, dims, at, interleaved, inverse);
        takeHead(memory, kernels, result!, [b, h], rows, temporary);
      }
    }
    return result!;
  } catch (error) {
    disposeResults(results);
    throw error;
  } finally {
    for (const block of blocks) memory.free(block);
  }
}
