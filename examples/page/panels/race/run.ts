// The race: lengths double; at each, contenders take turns, so that a busy moment of the machine falls on all of them.
import { errorOf, type Inputs, randomFloats } from "../../attention/inputs.ts";
import { errorText } from "../../parts/error_box.ts";
import { count, duration } from "../../parts/words.ts";
import type { Contender, Prepared } from "./contender.ts";
import type { RaceResult, Settings, Stop } from "./result.ts";

const FIRST = 256;
/** A measurement is so long at least: clocks of pages are coarse. */
const LEAST_MS = 20;

/** Lets the page paint and answer. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** In pieces, so that the page stays responsive. */
async function inputsOf(
  { heads, headDim }: Settings,
  length: number,
): Promise<Inputs> {
  const arrays = [];
  for (const seed of [1, 2, 3]) {
    arrays.push(randomFloats(heads * length * headDim, seed));
    await pause();
  }
  const [q, k, v] = arrays;
  return { heads, length, headDim, q: q!, k: k!, v: v! };
}

/** A contender at a length, with what has been measured of it. */
interface Lane {
  readonly contender: Contender;
  readonly prepared: Prepared;
  /** Milliseconds of the call that warmed it up. */
  readonly firstMs: number;
  readonly samples: number[];
}

/** How often a call of so many milliseconds is measured; never once, for machines have busy moments. */
function rounds(ms: number): number {
  return ms < 50 ? 5 : ms < 500 ? 4 : 3;
}

/** What the caller of a race is told. */
export interface Watcher {
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  /** The result has grown. */
  readonly changed: () => void;
}

/** One race: its contenders leave it one after the other. */
class Race {
  readonly #settings: Settings;
  readonly #result: RaceResult;
  readonly #watcher: Watcher;
  readonly #lastMs = new Map<Contender, number>();
  #left: readonly Contender[];

  constructor(
    contenders: readonly Contender[],
    settings: Settings,
    result: RaceResult,
    watcher: Watcher,
  ) {
    this.#left = contenders;
    this.#settings = settings;
    this.#result = result;
    this.#watcher = watcher;
  }

  #stop(
    { id, name }: Contender,
    stop: Pick<Stop, "length" | "kind" | "why">,
  ): void {
    this.#result.stops.push({ contender: id, name, ...stop });
    this.#left = this.#left.filter((contender) => contender.id !== id);
    this.#watcher.changed();
  }

  /** Takes those out of the race who cannot run the next length, or not in time. */
  #dismiss(length: number): void {
    for (const contender of this.#left) {
      const why = contender.tooLong(length), last = this.#lastMs.get(contender);
      if (why) this.#stop(contender, { length, kind: "memory", why });
      else if (last !== undefined && 4 * last > this.#settings.limitMs) {
        const why = `it would take about ${duration(4 * last)}`;
        this.#stop(contender, { length, kind: "time", why });
      }
    }
  }

  /** Brings the inputs to a contender and runs it once; undefined where that failed, which ends its race. */
  async #enter(
    contender: Contender,
    inputs: Inputs,
  ): Promise<Lane | undefined> {
    const { signal } = this.#watcher;
    let prepared: Prepared | undefined;
    try {
      prepared = await contender.prepare(inputs, signal);
      const firstMs = await prepared.run(1, signal);
      return { contender, prepared, firstMs, samples: [] };
    } catch (error) {
      prepared?.dispose();
      signal.throwIfAborted();
      console.error(error);
      this.#stop(contender, {
        length: inputs.length,
        kind: "error",
        why: errorText(error),
      });
      return undefined;
    }
  }

  async #measure(lanes: readonly Lane[], length: number): Promise<void> {
    const { signal, say } = this.#watcher;
    const most = Math.max(0, ...lanes.map(({ firstMs }) => rounds(firstMs)));
    for (let round = 0; round < most; round++) {
      for (const { contender, prepared, firstMs, samples } of lanes) {
        if (round >= rounds(firstMs)) continue;
        say(`${count(length)} tokens: ${contender.name} …`);
        const times = Math.max(
          1,
          Math.min(50, Math.ceil(LEAST_MS / Math.max(firstMs, 0.1))),
        );
        samples.push(await prepared.run(times, signal) / times);
        await pause();
      }
    }
  }

  async #record(
    { contender, prepared, samples }: Lane,
    inputs: Inputs,
  ): Promise<void> {
    const error = errorOf(inputs, await prepared.read()), ms = Math.min(...samples);
    this.#lastMs.set(contender, ms);
    const { id, name } = contender,
      { memoryBytes } = prepared,
      { length } = inputs;
    this.#result.points.push({
      contender: id,
      name,
      length,
      ms,
      samples,
      memoryBytes,
      error,
    });
    this.#watcher.changed();
    await pause();
  }

  async #length(length: number): Promise<void> {
    this.#watcher.say(`${count(length)} tokens: getting ready …`);
    const inputs = await inputsOf(this.#settings, length), lanes: Lane[] = [];
    try {
      for (const contender of this.#left) {
        const lane = await this.#enter(contender, inputs);
        if (lane) lanes.push(lane);
        await pause();
      }
      await this.#measure(lanes, length);
      for (const lane of lanes) await this.#record(lane, inputs);
    } finally {
      for (const { prepared } of lanes) prepared.dispose();
    }
  }

  /** Runs until nobody is left. */
  async run(): Promise<void> {
    for (let length = FIRST; this.#left.length > 0; length *= 2) {
      this.#watcher.signal.throwIfAborted();
      this.#dismiss(length);
      if (this.#left.length > 0) await this.#length(length);
    }
  }
}

/** Runs a race until everybody has left it; what it finds is in `result` as soon as it is known. */
export async function runRace(
  contenders: readonly Contender[],
  settings: Settings,
  result: RaceResult,
  watcher: Watcher,
): Promise<void> {
  await new Race(contenders, settings, result, watcher).run();
}
