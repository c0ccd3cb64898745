/**
 * From starting a process to its first result: import, compile, run. Timed from outside, with the
 * time of an empty program taken off.
 * @module
 */

import type { GoalRow } from "../goals.ts";
import { race } from "../measure/race.ts";
import { milliseconds, printTable } from "../measure/table.ts";
import { type Context, timingFields } from "./context.ts";

/** A program that takes this long hangs; the report must say so rather than wait. */
const LIMIT_MS = 20_000;

export async function freshSection(context: Context): Promise<GoalRow[]> {
  // A process is a slow thing to sample; the median needs more of them than the default gives.
  const options = context.quick
    ? { samples: 5, budgetMs: 4000, warmUpMs: 100 }
    : { samples: 21, budgetMs: 30_000, warmUpMs: 500 };
  const [empty, whole] = await race([
    { name: "empty", run: () => runProgram("empty.ts") },
    { name: "first result", run: () => runProgram("first_result.ts") },
  ], options);
  const beyond = whole.medianMs - empty.medianMs;
  printTable("First result in a fresh process (1, 128, 12, 64), defaults", [
    "program",
    "median",
    "fastest",
  ], [
    ...[empty, whole].map((t) => [t.name, milliseconds(t.medianMs), milliseconds(t.minMs)]),
    ["difference", milliseconds(beyond), milliseconds(whole.minMs - empty.minMs)],
  ]);
  context.results.add("fresh", { beyondEmptyMs: beyond, ...timingFields(whole) });
  return [{
    goal: "first result in a fresh process beyond Deno's own start",
    target: 15,
    atLeast: false,
    unit: " ms",
    values: [{ of: "s128", value: beyond }],
  }];
}

async function runProgram(name: string): Promise<void> {
  const path = new URL(name, import.meta.url).pathname;
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", path],
    signal: AbortSignal.timeout(LIMIT_MS),
  });
  const { code, signal, stderr } = await command.output();
  const reason = signal ? `no end in ${LIMIT_MS / 1000} s` : new TextDecoder().decode(stderr);
  if (code !== 0) throw new Error(`${name} failed: ${reason}`);
}
