/**
 * From starting a process to its first result: import, compile, run. What a command-line tool or an
 * edge function waits for. Whole processes are timed from outside, and an empty one is taken off.
 * @module
 */

import type { Context } from "../context.ts";
import { tagged } from "../cases.ts";
import type { Measured } from "../goals.ts";
import { race, type RaceOptions } from "../measure/race.ts";
import { type Timing, timingFields } from "../measure/statistics.ts";
import { milliseconds, printTable } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { CONTENDER_ENV, contenderArgs } from "../process/process.ts";
import { bundle } from "./package.ts";

/** A process that takes this long hangs; the report must say so rather than wait. */
const LIMIT_MS = 30_000;
const CONTENDERS = ["none", "flashtile", "onnxruntime-web/std", "tfjs-wasm/heads", "jax-js/wasm"];

/**
 * Two programs as a user would write them, bench/sections/empty.ts and first_result.ts, from source; and the second as a
 * bundler leaves it, with chunks for what it may need later.
 */
export async function freshSection(context: Context): Promise<Measured[]> {
  // A process is a slow thing to sample; the median needs more of them than the default gives.
  const options = context.quick
    ? { samples: 5, budgetMs: 4000, warmUpMs: 100 }
    : { samples: 21, budgetMs: 30_000, warmUpMs: 500 };
  const folder = await Deno.makeTempDir({ prefix: "flashtile-fresh-" });
  try {
    const source = (name: string) => new URL(`${name}.ts`, import.meta.url).pathname;
    await bundle("--code-splitting", "--outdir", folder, source("first_result"));
    const paths: Readonly<Record<string, string>> = {
      empty: source("empty"),
      "from source": source("first_result"),
      bundled: `${folder}/first_result.js`,
    };
    const run = (name: string) => finish(name, ["run", "--quiet", paths[name]!]);
    const title = "First result in a fresh process (1, 128, 12, 64), defaults";
    const [empty, ...wholes] = await timeProcesses(title, Object.keys(paths), run, options);
    return [{
      id: "wasm fresh",
      values: wholes.map((whole) => {
        const beyondEmptyMs = whole.medianMs - empty!.medianMs;
        context.results.add("fresh", { of: whole.name, beyondEmptyMs, ...timingFields(whole) });
        return { of: whole.name, value: beyondEmptyMs };
      }),
    }];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The same call by each library, as a contender that makes one call and ends. */
export async function peersFreshSection(context: Context): Promise<Measured[]> {
  const samples = context.quick ? 3 : 11;
  const c = tagged("peers forward")[0]!, modules = context.modules.href;
  const common = { backend: "wasm", task: "forward", case: c, threads: 1, modules } as const;
  const run = (contender: string) =>
    finish(contender, contenderArgs({ contender, ...common }, "--once"));
  // The warm-up leaves the transpiled sources and V8's code in Deno's cache, as a second start has.
  const options = { samples, budgetMs: samples * 3000, warmUpMs: 300 };
  const title = "First result in a fresh process (1, 12, 128, 128, 64)";
  const timings = await timeProcesses(title, CONTENDERS, run, options);
  const beyond = ({ medianMs }: Timing) => medianMs - timings[0]!.medianMs;
  for (const timing of timings) {
    const row = { contender: timing.name, wholeMs: timing.medianMs, beyondEmptyMs: beyond(timing) };
    context.results.add("peers-fresh", row);
  }
  const ours = timings[CONTENDERS.indexOf("flashtile")]!;
  return [{ id: "peers fresh", values: [{ of: c.name, value: beyond(ours) }] }];
}

/** Times programs in turns and prints what each takes beyond the first. */
async function timeProcesses(
  title: string,
  names: readonly string[],
  run: (name: string) => Promise<void>,
  options: RaceOptions,
): Promise<Timing[]> {
  const works = names.map((name) => ({ name, run: () => run(name) }));
  const timings = await race(wallClock, works, options);
  const empty = timings[0]!;
  const rows = timings.map(({ name, medianMs, minMs }) => {
    return [name, ...[medianMs, minMs, medianMs - empty.medianMs].map(milliseconds)];
  });
  printTable(title, ["program", "median", "fastest", "beyond an empty one"], rows);
  return timings;
}

async function finish(name: string, args: readonly string[]): Promise<void> {
  const signal = AbortSignal.timeout(LIMIT_MS), options = { env: CONTENDER_ENV, signal };
  const command = new Deno.Command(Deno.execPath(), { args: [...args], ...options });
  const { code, signal: killed, stderr } = await command.output();
  if (killed) throw new Error(`${name} did not end in time`);
  if (code !== 0) throw new Error(`${name} gave no result: ${new TextDecoder().decode(stderr)}`);
}
