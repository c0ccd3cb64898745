// Whether this JavaScript engine makes one operation of 256 bits of two neighbours of 128 (V8 does, where it is told to
// re-vectorise): asked of its code by the clock, while calls come and go.
//
//   two loops of the same arithmetic: vectors stored side by side, which may be packed, and apart, which may not
//   before a call of some length, at first every 2 ms, then ever more seldom: a few slices of each
//     as slow as at first:                  not optimised yet, nothing is packed; says nothing
//     both fast, neighbours twice as fast:  packed
//     both fast, and the same:              not packed
//
// V8 optimises the loops 10 to 500 ms after they first ran, one after the other: the larger kernels wait for the same compiler.
import type { KernelExports } from "../module/module.ts";

/** The loops, of asm/micro/tiles.gen.ts. */
export type WideLoops = Pick<KernelExports, "probeNeighbours" | "probeApart">;

/** How to look with a clock. */
interface Manner {
  /** The largest step of such a clock, milliseconds. */
  readonly step: number;
  /** Turns of a slice, and slices of a look: a thousand turns take 12 µs at first, 4 once they are optimised. */
  readonly turns: number;
  readonly slices: number;
  /** Looks at most; milliseconds between two, and at least this part of the time since the first. */
  readonly looks: number;
  readonly rest: number;
  readonly part: number;
}

/** Browsers' clocks tick every 5 µs in isolated pages, every 0.1 ms in others. */
const MANNERS: readonly Manner[] = [
  { step: 0.001, turns: 1000, slices: 2, looks: 40, rest: 2, part: 1 / 6 },
  { step: 0.006, turns: 8000, slices: 1, looks: 14, rest: 10, part: 1 / 2 },
  { step: Infinity, turns: 200_000, slices: 1, looks: 3, rest: 400, part: 1 },
];
/** Code is optimised that takes this part of the time that it took at first, or so many milliseconds for a thousand turns. */
const OPTIMISED = { part: 0.6, ms: 0.006 };
/** Packed loops take 0.4 to 0.55 of the time, others 0.97 to 1.08. */
const PACKED = 0.7;
/** Looks that must agree: on packed ones in a row, on others in all. */
const SURE = { packed: 2, single: 4 };

/** What slices of the two loops took, milliseconds. */
interface Times {
  readonly neighbours: number;
  readonly apart: number;
}

/** Takes looks until it is sure, or has looked often enough. */
export class WideProbe {
  readonly #loops: WideLoops;
  readonly #now: () => number;
  readonly #limit: number;
  #manner: Manner | undefined;
  /** When the loops first ran, and what a thousand turns took then. */
  #begun = 0;
  #first: Times | undefined;
  #looks = 0;
  #packed = 0;
  #single = 0;
  #spent = 0;
  #next = 0;
  #decided: boolean | undefined;

  /** `decided`: what is known without looking; `limit`: neighbours that take less than so many times the others are packed. */
  constructor(
    loops: WideLoops,
    decided?: boolean,
    limit: number = PACKED,
    now: () => number = () => performance.now(),
  ) {
    this.#loops = loops;
    this.#decided = decided;
    this.#limit = limit;
    this.#now = now;
  }

  /** Whether operations are 256 bits wide, as far as is known. */
  get wide(): boolean {
    return this.#decided ?? false;
  }

  /** Milliseconds that looking has taken so far, other threads' turns on this processor included. */
  get spent(): number {
    return this.#spent;
  }

  /** Takes a look, if it is time for one. */
  look(): void {
    if (this.#decided !== undefined) return;
    const begin = this.#now();
    if (begin < this.#next) return;
    const manner = this.#manner ??= this.#clock();
    if (this.#first === undefined) {
      this.#begun = begin;
      this.#first = this.#times(1000, 6); // enough of them to be optimised
    } else this.#judge(manner, this.#first);
    const end = this.#now();
    this.#spent += end - begin;
    this.#next = end + Math.max(manner.rest, manner.part * (end - this.#begun));
    if (this.#looks === manner.looks) this.#decided ??= false;
  }

  /** How to look by this clock: its smallest step of a few; the first may take longer, in code that has not run before. */
  #clock(): Manner {
    let step = Infinity, last = this.#now();
    for (let n = 0; n < 300; n++) {
      const now = this.#now();
      if (now > last) step = Math.min(step, now - last);
      last = now;
    }
    return MANNERS.find((manner) => step <= manner.step)!;
  }

  #times(turns: number, slices: number): Times {
    let [neighbours, apart] = [Infinity, Infinity];
    for (let n = 0; n < slices; n++) {
      const begin = this.#now();
      this.#loops.probeNeighbours(turns);
      const middle = this.#now();
      this.#loops.probeApart(turns);
      neighbours = Math.min(neighbours, middle - begin);
      apart = Math.min(apart, this.#now() - middle);
    }
    return { neighbours, apart };
  }

  #judge({ turns, slices }: Manner, first: Times): void {
    this.#looks++;
    const { neighbours, apart } = this.#times(turns, slices), thousands = turns / 1000;
    if (apart <= 0) return void (this.#decided = false); // a clock that stands still tells nothing
    const optimised = (time: number, before: number) =>
      time < thousands * Math.max(OPTIMISED.part * before, OPTIMISED.ms);
    if (!optimised(neighbours, first.neighbours) || !optimised(apart, first.apart)) return;
    if (neighbours < this.#limit * apart) this.#packed++;
    else {
      this.#packed = 0;
      this.#single++;
    }
    if (this.#packed === SURE.packed) this.#decided = true;
    else if (this.#single === SURE.single) this.#decided = false;
  }
}
