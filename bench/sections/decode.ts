/**
 * Decode steps: one query against many keys reads every key and value once and does little else, so
 * bytes a second beside the memory's own speed is the figure that counts.
 * @module
 */

import { type Call, kvBytes } from "../cases.ts";
import { type Context, kindOf, type Limits } from "../context.ts";
import type { Measured } from "../goals.ts";
import { outcomeFields, rate } from "../measure/statistics.ts";
import { digits3, percent } from "../measure/table.ts";
import { forwardEntrant } from "../subjects/flashtile.ts";
import { measured, outcomeCells, printRaced, raceCases, type Raced, timeCell } from "./raced.ts";

/** From here on the goal of a GPU holds: less may stay in a cache from one launch to the next. */
const LEAST_BYTES = 64e6;

export async function decodeSection(context: Context): Promise<Measured[]> {
  const { gpu } = context, counts = gpu ? [1] : context.threads;
  const limits = new Map<number, Limits>();
  for (const threads of counts) limits.set(threads, await context.limits(threads));
  // of reads on the CPU; on a GPU the goal is a share of its copies
  const goal = gpu ? "copyGBs" : "readGBs";
  const share = ({ c, threads, outcomes }: Raced, of: keyof Limits, n = 0) =>
    rate(kvBytes(c), outcomes[n]!.timing) / limits.get(threads)![of];
  const keep = (r: Raced) => {
    for (const [n, outcome] of r.outcomes.entries()) {
      const bytes = kvBytes(r.c);
      context.results.add(kindOf(context, "decode"), {
        case: r.c.name,
        ...(gpu ? {} : { threads: r.threads, kind: outcome.name }),
        ...outcomeFields(outcome, { gbs: rate(bytes, outcome.timing), share: share(r, goal, n) }),
      });
    }
  };
  const entrants = (call: Call, threads: number) => [
    forwardEntrant(context, call, { threads }),
    ...(gpu ? [] : [forwardEntrant(context, call, { threads, place: "host" })]),
  ];
  const raced = await raceCases(context, context.cases("decode"), { counts }, entrants, keep);
  const head = ["threads", "K/V MB", "step", "GB/s", "of read", "error", "spread", "of copy"];
  if (!gpu) head.push("K/V copied in");
  printRaced("Decode, f32, resident", head, raced, (r) => {
    const bytes = kvBytes(r.c), [ours, copied] = r.outcomes;
    const cells = outcomeCells(ours, bytes, limits.get(r.threads)!.readGBs);
    const size = [String(r.threads), digits3(bytes / 1e6)], more = copied ? [timeCell(copied)] : [];
    return [...size, ...cells, percent(share(r, "copyGBs")), ...more];
  });
  if (gpu) {
    const large = raced.filter(({ c }) => kvBytes(c) >= LEAST_BYTES);
    return [measured("webgpu decode", large, (r) => share(r, goal))];
  }
  return ([["dec4k", 1], ["dec32kgqa", 2]] as const).map(([name, threads]) => {
    const chosen = raced.filter((r) => r.c.name === name && r.threads === threads);
    return measured(`wasm decode ${name} ${threads}`, chosen, (r) => share(r, goal));
  });
}
