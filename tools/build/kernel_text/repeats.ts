// Runs of instructions that stood before, in the same function or an earlier one.
import type { Code, Instruction } from "./instructions.ts";

/** An instruction, or a run of them that stood `distance` bytes before. */
export type Step =
  | { readonly instruction: Instruction }
  | { readonly distance: number; readonly bytes: number };

/** Shortest run in bytes that is copied: shorter ones take more text as a copy than as themselves. */
const LEAST = 24;
/** Instructions by which runs are found, and how many places are looked at. */
const [PROBE, PLACES] = [4, 400];

interface Placed {
  readonly instruction: Instruction;
  readonly id: number;
  /** Where its bytes begin, from the first function on. */
  readonly at: number;
  readonly size: number;
}

/** Bytes of the size before each function, see `sized` in text.ts. */
export const SIZE_BYTES = 2;

/** The steps that make each function. */
export function stepsOf(functions: Code["functions"]): Step[][] {
  const placed: Placed[] = [],
    ids = new Map<string, number>(),
    places = new Map<string, number[]>();
  let at = 0;
  const lengths = functions.map(({ locals, body }) => {
    at += SIZE_BYTES + locals.length;
    for (const instruction of body) {
      const { opcode, operands, last } = instruction, size = opcode.length + operands.length;
      const key = `${opcode} ${operands} ${last}`, id = ids.get(key) ?? ids.size;
      ids.set(key, id);
      placed.push({ instruction, id, at, size });
      at += size;
    }
    return body.length;
  });
  const probe = (i: number) => placed.slice(i, i + PROBE).map(({ id }) => id).join();
  let seen = 0, from = 0;
  return lengths.map((length) => {
    const steps: Step[] = [], end = from + length;
    while (from < end) {
      for (; seen < from; seen++) places.set(probe(seen), [...places.get(probe(seen)) ?? [], seen]);
      const run = longestRun(placed, from, places.get(probe(from)) ?? []);
      if (run.bytes >= LEAST) {
        steps.push({ distance: placed[from]!.at - placed[run.start]!.at, bytes: run.bytes });
      } else steps.push({ instruction: placed[from]!.instruction });
      from += run.bytes >= LEAST ? run.length : 1;
    }
    return steps;
  });
}

/** The longest run that begins at one of `starts` and is what begins at `from`, without the end of a function. */
function longestRun(placed: readonly Placed[], from: number, starts: readonly number[]) {
  let best = { start: from, length: 0, bytes: 0 };
  for (const start of starts.slice(-PLACES).reverse()) {
    let length = 0, bytes = 0;
    for (; start + length < from; length++) {
      const next = placed[from + length];
      if (!next || next.instruction.last || next.id !== placed[start + length]!.id) break;
      bytes += next.size;
    }
    if (bytes > best.bytes) best = { start, length, bytes };
  }
  return best;
}
