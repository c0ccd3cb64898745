// Which share of a call each of two backends gets, so that both end at the same time.

/** A share of a call in pieces: the first backend has those before `border`. */
export interface Shares {
  readonly border: number;
  /** Milliseconds that both together are expected to take. */
  readonly ms: number;
}

/** Least share of the time of one backend that must be gained. */
const GAIN = 0.1;
/** Borders that are tried at most. */
const TRIED = 64;

/**
 * The border that is expected to end first; undefined where one backend alone, which takes `alone` milliseconds, is less than
 * a tenth slower. `first`, `second`: milliseconds of some pieces.
 */
export function sharesOf(
  units: number,
  alone: number,
  first: (pieces: number) => number,
  second: (pieces: number) => number,
): Shares | undefined {
  const step = Math.max(1, Math.floor(units / TRIED));
  let best: Shares | undefined;
  for (let border = step; border < units; border += step) {
    const ms = Math.max(first(border), second(units - border));
    if (!best || ms < best.ms) best = { border, ms };
  }
  return best && best.ms <= (1 - GAIN) * alone ? best : undefined;
}
