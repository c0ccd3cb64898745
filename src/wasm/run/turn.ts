// Turning the rows of a tensor alone, at once.
import { turningRows } from "../../problem/features/row_rotation.ts";
import { turnedSpec } from "../../problem/results.ts";
import type { TurnCall } from "../../problem/rotations.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import { disposeResults, makeResults, type ResultView } from "../memory/results.ts";
import type { KernelExports } from "../module/module.ts";
import { bringHead, headRows, rowsAtATime, takeHead } from "./heads.ts";

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
    const most = rowsAtATime(length, pitch), table = allocate(4 * dims * most);
    const rows = allocate(most * pitch), temporary = allocate(most * pitch);
    for (const part of headRows([batch, heads, length], pitch)) {
      const { first, count } = turningRows(rotation, part.batch, [part.begin, part.end]);
      const from = first * dims;
      memory.f32(table, count * dims).set(rotation.table.subarray(from, from + count * dims));
      bringHead(memory, kernels, view, part, rows, temporary);
      kernels.rotate(rows, pitch, count, dims, table, interleaved, inverse);
      takeHead(memory, kernels, result!, part, rows, temporary);
    }
    return result!;
  } catch (error) {
    disposeResults(results);
    throw error;
  } finally {
    for (const block of blocks) memory.free(block);
  }
}
