// What a node tells a client of a part that it computes, not more often than anybody looks.
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { TellHead } from "../wire/requests.ts";

/** Milliseconds between two messages of a part. */
const TELL_MS = 100;

/** The signal of one of the runs of a part. */
export type SignalOf = (run: number) => AbortSignalLike;

/** Tells of the runs of a part in their order, where somebody listens. `throwIfAborted`: that of the part. */
export function tellProgress(
  tell: TellHead | undefined,
  runs: number,
  publish: (subject: string, text: string) => void,
  throwIfAborted: () => void,
): SignalOf {
  if (!tell) return () => ({ throwIfAborted });
  let told = performance.now();
  return (run) => ({
    throwIfAborted,
    progress: (share) => {
      const now = performance.now();
      if (now - told < TELL_MS) return;
      told = now;
      publish(tell.subject, `${tell.part} ${(run + Math.min(1, share)) / runs}`);
    },
  });
}
