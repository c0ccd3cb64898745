// The end of a call, heard by all that is asked for it: a call that was given up, or one part of which has failed, asks no more.
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { Limits } from "./asker.ts";

/** Limits of what is asked for a call until it ends. */
export interface Ending {
  readonly limits: Limits;
  /** Nobody waits any more. */
  end(): void;
}

/** Limits whose signal also tells that the call has ended; what reports progress is heard as before. */
export function endingOf(limits: Limits): Ending {
  const { signal } = limits;
  let over = false;
  const both: AbortSignalLike = {
    throwIfAborted: () => {
      signal?.throwIfAborted();
      if (over) throw new Error(`Cannot run ${limits.action}: the call has ended`);
    },
    ...signal?.progress && { progress: (share: number) => signal.progress!(share) },
  };
  return { limits: { ...limits, signal: both }, end: () => over = true };
}
