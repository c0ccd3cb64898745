// Whether a loop takes clearly less time than another: what a JavaScript engine makes of instructions, asked of its code by the
// clock, while calls come and go. Two questions are asked this way:
//
//   does it make one operation of 256 bits of two neighbours of 128 (V8, where it is told to re-vectorise)?
//       vectors stored side by side, which may be packed, against vectors apart, which may not
//   is a product of bytes one instruction (VNNI, SDOT)?
//       a loop of them, against one of multiply-adds
//
//   before a call of some length, at first every 2 ms, then ever more seldom: a few slices of each
//     as slow as at first:                  not optimised yet; says nothing
//     both fast, and the first one ahead:   yes
//     both fast, and not so:                no
//
// V8 optimises the loops 10 to 500 ms after they first ran, one after the other: the larger kernels wait for the same compiler.

/** Operations of a turn of the loop of multiply-adds: two for each lane of sixteen vectors of four. The loops are built of it. */
export const TURN_FLOPS = 128;

/** Two loops of as many turns as they are told; of asm/micro/tiles.gen.ts. */
export interface ProbedLoops {
  readonly asked: (turns: number) => void;
  readonly beside: (turns: number) => void;
}

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
/** Looks that must agree: on yes in a row, on no in all. */
const SURE = { yes: 2, no: 4 };

/** What slices of the two loops took, milliseconds. */
interface Times {
  readonly asked: number;
  readonly beside: number;
}

/** Takes looks until it is sure, or has looked often enough. */
export class LoopProbe {
  readonly #loops: ProbedLoops;
  readonly #now: () => number;
  readonly #limit: number;
  #manner: Manner | undefined;
  /** When the loops first ran, and what a thousand turns took then. */
  #begun = 0;
  #first: Times | undefined;
  #looks = 0;
  #yes = 0;
  #no = 0;
  #spent = 0;
  /** Most turns of the other loop in a millisecond, once it was optimised. */
  #speed = 0;
  #next = 0;
  #decided: boolean | undefined;

  /** `limit`: the answer is yes where the first loop takes less than so many times the other; `decided`: what is known of it. */
  constructor(
    loops: ProbedLoops,
    limit: number,
    decided?: boolean,
    now: () => number = () => performance.now(),
  ) {
    this.#loops = loops;
    this.#decided = decided;
    this.#limit = limit;
    this.#now = now;
  }

  /** The answer, as far as is known. */
  get yes(): boolean {
    return this.#decided ?? false;
  }

  /**
   * Turns of the other loop in a millisecond, the most that a look saw; undefined until there is an answer, so that it never
   * changes, and where none was looked for.
   */
  get speed(): number | undefined {
    return this.#decided === undefined || this.#speed === 0 ? undefined : this.#speed;
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
    let [asked, beside] = [Infinity, Infinity];
    for (let n = 0; n < slices; n++) {
      const begin = this.#now();
      this.#loops.asked(turns);
      const middle = this.#now();
      this.#loops.beside(turns);
      asked = Math.min(asked, middle - begin);
      beside = Math.min(beside, this.#now() - middle);
    }
    return { asked, beside };
  }

  #judge({ turns, slices }: Manner, first: Times): void {
    this.#looks++;
    const { asked, beside } = this.#times(turns, slices), thousands = turns / 1000;
    if (beside <= 0) return void (this.#decided = false); // a clock that stands still tells nothing
    const optimised = (time: number, before: number) =>
      time < thousands * Math.max(OPTIMISED.part * before, OPTIMISED.ms);
    if (!optimised(asked, first.asked) || !optimised(beside, first.beside)) return;
    this.#speed = Math.max(this.#speed, turns / beside);
    if (asked < this.#limit * beside) this.#yes++;
    else {
      this.#yes = 0;
      this.#no++;
    }
    if (this.#yes === SURE.yes) this.#decided = true;
    else if (this.#no === SURE.no) this.#decided = false;
  }
}
