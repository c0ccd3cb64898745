// The order of calls, and who lets the event loop turn while they compute.
//
// A call is a generator that pauses where its caller may look around. Synchronous calls are run through,
// whatever else is under way; asynchronous ones run one after the other, in slices.

/** Where a running call may be left for a while: `work` is waiting, or other threads must finish. */
export type Pause = "work" | "threads";

/** A call that can be left at its pauses. */
export type Progress<T> = Generator<Pause, T, void>;

/** Milliseconds of computing after which an asynchronous call lets the event loop turn. */
const TURN_MS = 24;

/** A turn of the event loop, without the 1 to 4 ms of setTimeout where there is something better. */
function turn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => unknown };
  return new Promise((resolve) => {
    if (setImmediate) setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}

/** Runs a call to its end at once. */
export function runThrough<T>(progress: Progress<T>): T {
  for (;;) {
    const { done, value } = progress.next();
    if (done) return value;
  }
}

/** Asynchronous calls, one after the other. */
export class CallQueue {
  readonly #release: () => void;
  #tail: Promise<void> = Promise.resolve();
  #closed = false;
  /** Whether a call is under way: what it needs must not be released under it. */
  #running = false;

  /** `release` is called after `close`, once no call needs its threads any more; maybe several times. */
  constructor(release: () => void) {
    this.#release = release;
  }

  /** Runs a call after those before it. `refusal` is its error when the queue was closed meanwhile. */
  async run<T>(begin: () => Progress<T>, refusal: () => Error): Promise<T> {
    const before = this.#tail;
    let resolve!: () => void; // Promise.withResolvers is not in Node 20
    this.#tail = new Promise<void>((done) => resolve = done);
    await before;
    try {
      if (this.#closed) throw refusal();
      this.#running = true;
      return await this.#drive(begin(), refusal);
    } finally {
      this.#running = false;
      if (this.#closed) this.#release();
      resolve();
    }
  }

  /** Progress through a call, and lets the event loop turn now and then. */
  async #drive<T>(progress: Progress<T>, refusal: () => Error): Promise<T> {
    let last = performance.now(), told = false;
    for (;;) {
      const stop: boolean = this.#closed && !told;
      told ||= stop;
      const { done, value } = stop ? progress.throw(refusal()) : progress.next();
      if (done) return value;
      const now = performance.now();
      if (value === "work" && now - last < TURN_MS) continue;
      await turn();
      last = performance.now();
    }
  }

  /** Resolves when all calls given so far have ended. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  /** Ends the call that is under way at its next pause, and refuses those that wait. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#running) this.#release();
  }
}
