/** Ctrl-C ends a training early, and a second one the program. */
export class Interrupt {
  readonly #stop = new AbortController();

  constructor() {
    Deno.addSignalListener("SIGINT", this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  readonly #onSignal = (): void => {
    Deno.removeSignalListener("SIGINT", this.#onSignal);
    this.#stop.abort();
  };

  /** Says whether it came; from here on Ctrl-C ends the program. */
  end(): void {
    if (this.signal.aborted) console.error("Stopped by Ctrl-C.");
    else Deno.removeSignalListener("SIGINT", this.#onSignal);
  }
}

/** Signals are heard only between tasks. */
export function letSignalsThrough(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
