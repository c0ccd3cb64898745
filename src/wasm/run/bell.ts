// How a waiting call hears of workers: it is woken when one says something, and looks for itself a while later.

/** Wakes whoever waits. */
export class Bell {
  /** Milliseconds after which who waits looks for itself. */
  readonly #lookMs: number;
  #wake: (() => void) | undefined;

  constructor(lookMs: number) {
    this.#lookMs = lookMs;
  }

  /** Wakes who waits. */
  ring(): void {
    this.#wake?.();
  }

  /** Resolves after a turn of the event loop in which a worker said something, or a while later. */
  heard(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, this.#lookMs);
      this.#wake = wake;
    });
  }
}
