// What all tasks of a call refer to: programs of functions, the page table of a cache, the first rows of documents.
import { Operand } from "../../../asm/tables.gen.ts";
import type { Plan } from "../../plan/wasm/plan.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { programsOf, writePrograms } from "./programs.ts";
import type { OperandWords, Room } from "./task_record.ts";

/** A word for each page of each sequence: the address of the first, bytes of a sequence, the first row, rows of a page. */
function writePages(room: Room, { operands }: AttentionProblem): OperandWords[] {
  const pages = operands.k?.pages;
  if (!pages) return [];
  const { numbers, columns, first, rows } = pages, pointer = room.allocate(4 * numbers.length + 4);
  room.memory.i32(pointer, numbers.length).set(numbers);
  return [[Operand.Pages, [pointer, 4 * columns, first, rows]]];
}

/** A word for each document: its first row; and one for the row behind the last. */
function writeDocuments(room: Room, { documents }: AttentionProblem): OperandWords[] {
  if (!documents) return [];
  const pointer = room.allocate(4 * documents.length);
  room.memory.i32(pointer, documents.length).set(documents);
  return [[Operand.Documents, [pointer, 0, 0, 0]]];
}

/** Writes it: words of tasks, and records of operands. */
export function writeShared(
  room: Room,
  problem: AttentionProblem,
  plan: Plan,
): { programs: ReturnType<typeof writePrograms>; tables: OperandWords[] } {
  return {
    programs: writePrograms(room, programsOf(problem, plan)),
    tables: [...writePages(room, problem), ...writeDocuments(room, problem)],
  };
}
