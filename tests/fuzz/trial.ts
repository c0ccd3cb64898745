/** One trial: a call with good arguments, of which some are made wrong, and what must hold of it whatever comes out. */
import fc from "fast-check";
import { Engine } from "../../mod.ts";
import { CALLS, prepareCall } from "./calls.ts";
import { mutate, type Mutation, mutations } from "./mutate.ts";
import { contentsOf, isUntouched, undocumented } from "./oracle.ts";
import { OTHER_CALLS, prepareOther } from "./others.ts";
import { Pick } from "./pick.ts";
import { KnownCase } from "./known_case.ts";
import { withinTime } from "./watchdog.ts";

/** What a trial does. */
export interface Trial {
  readonly call: string;
  readonly seed: number;
  readonly resident: boolean;
  readonly mutations: readonly Mutation[];
  /** Turns of the event loop until the call's signal is aborted; below 0: before it begins. */
  readonly abort: number | undefined;
}

/** Any trial; `calls`: of these. */
export function trials(calls: readonly string[] = [...CALLS, ...OTHER_CALLS]): fc.Arbitrary<Trial> {
  return fc.record({
    call: fc.constantFrom(...calls),
    seed: fc.nat(),
    resident: fc.boolean(),
    mutations: fc.array(mutations, { maxLength: 2 }),
    abort: fc.option(fc.integer({ min: -1, max: 3 }), { nil: undefined, freq: 5 }),
  });
}

/** An engine under attack. */
export class Target {
  readonly engine: Engine;
  readonly #known: KnownCase;
  /** Milliseconds that trials of each call took. */
  readonly times: Map<string, number> = new Map();
  /** How many calls had a result, and how many an error, by kind. */
  readonly outcomes: Map<string, number> = new Map();

  private constructor(engine: Engine, known: KnownCase) {
    this.engine = engine;
    this.#known = known;
  }

  static async open(engine: Engine): Promise<Target> {
    return new Target(engine, await KnownCase.of(engine));
  }

  /** Runs a trial; throws where something is wrong that is not the caller's. */
  async run(trial: Trial): Promise<void> {
    const begin = performance.now();
    try {
      const about = await this.#judge(trial);
      if (performance.now() - begin > 1000) {
        console.log(`slow: ${about}`, performance.now() - begin);
      }
    } finally {
      this.times.set(trial.call, (this.times.get(trial.call) ?? 0) + performance.now() - begin);
    }
  }

  async #judge(trial: Trial): Promise<string> {
    const about = await this.#attempt(trial);
    await this.#known.check(about);
    // scratch grows with the largest call so far: what grows each time is lost
    let grown = 0;
    for (let again = 0; again < 3; again++) {
      const before = this.engine.memory.used;
      await this.#attempt(trial);
      grown = this.engine.memory.used - before;
      if (grown <= 0) return about;
    }
    throw new Error(`${about}: ${grown} bytes of memory are left`);
  }

  /** Makes the call once. What was done, in words. */
  async #attempt({ call, seed, resident, mutations, abort }: Trial): Promise<string> {
    const { engine } = this, pick = new Pick(seed);
    const prepared = CALLS.includes(call)
      ? prepareCall(engine, call, pick, resident)
      : prepareOther(engine, call, pick);
    const { args, run, written } = prepared, given = [...args], reasons = new Set<unknown>();
    if (abort !== undefined) withSignal(args, abort, reasons);
    const done = mutations.map((mutation) => mutate(args, mutation));
    const about = `${call} ${seed}${resident ? " resident" : ""}: ${done.join("; ")}`;
    const contents = contentsOf(args, written);
    try {
      release(await withinTime(about, async () => await run(args)));
      this.#count("result");
    } catch (error) {
      const what = undocumented(error, reasons);
      if (what) throw new Error(`${about}: ${what}`, { cause: error });
      this.#count((error as Error).constructor.name);
    } finally {
      release(given); // of calls that make their own
      prepared[Symbol.dispose]();
    }
    if (!isUntouched(contents)) throw new Error(`${about}: an input was written`);
    return about;
  }

  #count(kind: string): void {
    this.outcomes.set(kind, (this.outcomes.get(kind) ?? 0) + 1);
  }
}

/** Puts a signal into the options, which are the last argument. */
function withSignal(args: unknown[], turns: number, reasons: Set<unknown>): void {
  const options = args.at(-1);
  if (
    typeof options !== "object" || options === null || Array.isArray(options) || "data" in options
  ) return;
  const controller = new AbortController(), reason = new Error("stopped");
  reasons.add(reason);
  Object.assign(options, { signal: controller.signal });
  if (turns < 0) return controller.abort(reason);
  const wait = (left: number): void => {
    if (left === 0) controller.abort(reason);
    else if (left % 2) setTimeout(wait, 0, left - 1);
    else queueMicrotask(() => wait(left - 1));
  };
  wait(turns);
}

/** Disposes of all resident tensors of a result. */
function release(result: unknown, depth = 0): void {
  if (typeof result !== "object" || result === null || depth > 3) return;
  try {
    if (result instanceof Engine) return;
    if (Symbol.dispose in result) return (result as Disposable)[Symbol.dispose]();
    if (!ArrayBuffer.isView(result)) {
      Object.values(result).forEach((inner) => release(inner, depth + 1));
    }
  } catch {
    return; // a hostile value among the arguments
  }
}
