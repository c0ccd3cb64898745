// A bar on the terminal, while a call computes.
import type { AbortSignalLike } from "../backend/backend.ts";
import type { Session } from "./session.ts";
import { timeText } from "./text.ts";

const WIDTH = 30;
/** Milliseconds between two looks, and before the first: short work shows none. */
const PAUSE_MS = 100, FIRST_MS = 500;

/** Draws how far work has come, where there is a terminal to draw on. */
export class ProgressBar {
  readonly #session: Pick<Session, "stderr" | "columns">;
  readonly #what: string;
  readonly #now: () => number;
  readonly #begin: number;
  #next: number = FIRST_MS;
  #drawn = false;

  constructor(
    session: Pick<Session, "stderr" | "columns">,
    what: string,
    now: () => number = () => performance.now(),
  ) {
    this.#session = session;
    this.#what = what;
    this.#now = now;
    this.#begin = now();
  }

  /** `share`: from 0 to 1. */
  report(share: number): void {
    const { columns, stderr } = this.#session, ms = this.#now() - this.#begin;
    if (columns === undefined || ms < this.#next) return;
    this.#next = ms + PAUSE_MS;
    this.#drawn = true;
    const done = Math.round(WIDTH * share), bar = "#".repeat(done).padEnd(WIDTH, ".");
    const left = share > 0.02 ? `, ${timeText(ms / share - ms)} left` : "";
    const line = `${this.#what} [${bar}] ${Math.floor(100 * share)} %${left}`;
    stderr(`\r${line.slice(0, columns - 1).padEnd(columns - 1)}`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#drawn) this.#session.stderr(`\r${" ".repeat(this.#session.columns! - 1)}\r`);
    this.#drawn = false;
  }
}

/** Does work with a bar; `work` gets a signal that stops it and that hears how far it has come. */
export async function withProgress<T>(
  session: Session,
  what: string,
  work: (signal: AbortSignalLike) => Promise<T>,
): Promise<T> {
  const bar = new ProgressBar(session, what);
  try {
    return await work({
      throwIfAborted: () => session.signal.throwIfAborted(),
      progress: (share) => bar.report(share),
    });
  } finally {
    bar.end();
  }
}
