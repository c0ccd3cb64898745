// How a waiting call hears of workers: it is woken when one says something, and looks for itself a while later.

/** Milliseconds after which a waiting call looks for itself, at its signal too. */
const LOOK_MS = 10;

/** Wakes whoever waits. */
export class Bell {
  #wake: (() => void) | undefined;

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
      const timer = setTimeout(wake, LOOK_MS);
      this.#wake = wake;
    });
  }
}
