/** Flags of `deno task fuzz`, checked: a run of no trials must not look like one that found nothing. */
import { parseArgs } from "node:util";
import { CALLS } from "./calls.ts";
import { OTHER_CALLS } from "./others.ts";

export const ENGINES = ["wasm", "threads", "webgpu"] as const;
/** What is attacked beside calls. */
export const OTHERS = ["files", "caches", "precisions"] as const;

export interface FuzzFlags {
  readonly seconds: number;
  readonly seed: number;
  readonly engine: typeof ENGINES[number] | undefined;
  readonly call: string | undefined;
  /** Number of a trial among those of the seed. */
  readonly only: number | undefined;
}

const HELP = `deno task fuzz [options]

  --seconds=N    in all (default 600)
  --seed=N       of the first trials (default: another one each time)
  --engine=NAME  ${ENGINES.join(", ")} (default: each)
  --call=NAME    these alone: ${OTHERS.join(", ")}, or a call
  --only=N       one trial of the seed, as a failure names it`;

/** Reads flags; undefined where help is asked for. Throws with a sentence for people. */
export function readFlags(args: readonly string[]): FuzzFlags | undefined {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ seconds: text, seed: text, engine: text, call: text, only: text },
      help: { type: "boolean" },
    },
  });
  if (values.help) return undefined;
  const number = (name: "seconds" | "seed" | "only", least: number): number | undefined => {
    const given = values[name], value = Number(given);
    if (given === undefined) return undefined;
    if (given.trim() !== "" && value >= least && value < Infinity) return value;
    throw new RangeError(`Cannot use --${name}=${given}: expected a number from ${least} on`);
  };
  const engine = ENGINES.find((name) => name === values.engine);
  if (values.engine !== undefined && engine === undefined) {
    throw new RangeError(`Cannot use --engine=${values.engine}: expected ${ENGINES.join(", ")}`);
  }
  const known: readonly string[] = [...OTHERS, ...CALLS, ...OTHER_CALLS];
  if (values.call !== undefined && !known.includes(values.call)) {
    throw new RangeError(`Cannot use --call=${values.call}: expected one of ${known.join(", ")}`);
  }
  const seconds = number("seconds", 0) ?? 600, seed = number("seed", 0) ?? Date.now() % 2 ** 31;
  return { seconds, seed, engine, call: values.call, only: number("only", 0) };
}

/** The same for a program. */
export function flagsOrExit(args: readonly string[]): FuzzFlags {
  try {
    const flags = readFlags(args);
    if (flags) return flags;
    console.log(HELP);
    Deno.exit(0);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(2);
  }
}
