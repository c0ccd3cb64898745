// The order of calls, and who lets the event loop turn while they compute.
//
// A call is a generator that pauses where its caller may look around. Synchronous calls are run through,
// whatever else is under way; asynchronous ones take their turns here.

/** A call has failed, but other threads are still inside its items. */
export class Failed {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** Where a running call may be left for a while: `work` is waiting, or other threads must finish. */
export type Pause = "work" | "threads" | Failed;

/** A call that can be left at its pauses. */
export type Progress<T> = Generator<Pause, T, void>;

/** An asynchronous call. */
export interface Call<T> {
  readonly begin: () => Progress<T>;
  /** The same call on the calling thread alone, for one that is short enough to pass others. */
  beginAlone?: (() => Progress<T>) | undefined;
  /** Its error when the queue was closed meanwhile. */
  readonly refusal: () => Error;
}

/** A call in the queue. */
interface Entry extends Call<unknown> {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Tells that nothing of the call is left, which may be later than its answer. */
  readonly end: () => void;
}

/**
 * Milliseconds of computing after which an asynchronous call lets the event loop turn. A turn takes 10
 * to 40 us, and what is done between two looks at the clock up to 5 ms more.
 */
const TURN_MS = 6;
/** ... of a short call: only a first one, whose code is cold, takes so long, and a turn would cost it 2 to 4 ms. */
const SHORT_TURN_MS = 25;

/** Turns so far. */
let turns = 0;
/**
 * Turns that Deno takes by a timer: it loads its part for Node when setImmediate is looked at, 8 to 20 ms that a
 * program with one short call need not spend. (Timers starve while messages of a channel take turns there.)
 */
const TIMER_TURNS = 4;

/** A turn of the event loop, without the 1 to 4 ms of setTimeout where there is something better. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    if ("Deno" in globalThis && turns++ < TIMER_TURNS) return void setTimeout(resolve, 0);
    const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => unknown };
    if (setImmediate) return void setImmediate(resolve);
    if (typeof MessageChannel !== "function") return void setTimeout(resolve, 0);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/** Runs a call to its end at once. */
export function runThrough<T>(progress: Progress<T>): T {
  for (;;) {
    const { done, value } = progress.next();
    if (done) return value;
  }
}

/**
 * Asynchronous calls, in the order in which they came but for short ones. Calls share the scratch of the
 * threads and the words by which items are handed over, so one at a time has the pool. A short call
 * needs only the calling thread, which may leave a long call at any of its pauses, as it does for
 * synchronous calls: short calls that wait when the event loop has turned run then, in their order, and the
 * long call goes on for at least one slice before others pass it. Where memory is too small for both, a
 * short call waits for its place. Each computes what it computes alone, bit for bit.
 */
export class CallQueue {
  readonly #release: () => void;
  readonly #heard: () => Promise<void>;
  readonly #waiting: Entry[] = [];
  /** Ends of the calls that have not ended. */
  readonly #open = new Set<Promise<void>>();
  #closed = false;
  /** Whether a call is under way: what it needs must not be released under it. */
  #running = false;
  /** When the event loop last turned, as far as is known, and when a call last ended. */
  #turned = 0;
  #last = 0;

  /**
   * `release` is called after `close`, once no call needs its threads any more; maybe several times.
   * `heard` resolves after a turn of the event loop in which other threads may have finished something.
   */
  constructor(release: () => void, heard: () => Promise<void>) {
    this.#release = release;
    this.#heard = heard;
  }

  /** Runs a call. */
  run<T>(call: Call<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const end = new Promise<void>((end) => {
        this.#waiting.push({ ...call, resolve: resolve as Entry["resolve"], reject, end });
      });
      this.#open.add(end);
      end.then(() => this.#open.delete(end));
      if (!this.#running) void this.#pump();
    });
  }

  async #pump(): Promise<void> {
    this.#running = true;
    // calls that follow each other in microtasks are one piece of work to the event loop
    const now = performance.now();
    if (now - this.#last > 1) this.#turned = now;
    await undefined;
    for (let entry = this.#waiting.shift(); entry; entry = this.#waiting.shift()) {
      await this.#settle(entry, entry.begin);
    }
    this.#last = performance.now();
    this.#running = false;
    if (this.#closed) this.#release();
  }

  /** Runs a call to its end and answers. */
  async #settle(entry: Entry, begin: () => Progress<unknown>): Promise<void> {
    try {
      if (this.#closed) throw entry.refusal();
      entry.resolve(await this.#drive(begin(), entry, () => this.#letPass()));
    } catch (error) {
      entry.reject(error);
    }
    entry.end();
  }

  /** Runs the short calls that wait. */
  async #letPass(): Promise<void> {
    for (const entry of this.#waiting.filter(({ beginAlone }) => beginAlone)) {
      try {
        if (this.#closed) return; // they are refused in their turn
        entry.resolve(await this.#drive(entry.beginAlone!(), entry));
      } catch (error) {
        if (error instanceof RangeError && !this.#closed) { // memory is out: it keeps its place
          entry.beginAlone = undefined;
          continue;
        }
        entry.reject(error);
      }
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      entry.end();
    }
  }

  /** Progress through a call, and lets the event loop turn now and then; `between` is done at such turns. */
  async #drive<T>(
    progress: Progress<T>,
    { refusal, reject, beginAlone }: Entry,
    between?: () => Promise<void>,
  ): Promise<T> {
    const turnMs = beginAlone ? SHORT_TURN_MS : TURN_MS;
    let told = false;
    for (;;) {
      const stop: boolean = this.#closed && !told;
      told ||= stop;
      const { done, value } = stop ? progress.throw(refusal()) : progress.next();
      if (done) return value;
      if (value instanceof Failed) reject(value.error);
      else if (value === "work" && performance.now() - this.#turned < turnMs) continue;
      await (value === "work" ? turn() : this.#heard());
      await between?.();
      this.#turned = performance.now();
    }
  }

  /** Resolves when all calls given so far have ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#open);
  }

  /** Ends the call that is under way at its next pause, and refuses those that wait. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#running) this.#release();
  }
}
