// Why a call failed.
import { callName, checkDestination } from "../backend/backend.ts";
import type { Call } from "../problem/problem.ts";

/** What a call that failed says: that a destination is not there any more, where that is why. */
export function failureOf(error: unknown, { problem, into = {} }: Call): unknown {
  if (!(error instanceof TypeError || error instanceof RangeError)) return error;
  try {
    for (const view of Object.values(into)) checkDestination(view, callName(problem));
    return error;
  } catch (gone) {
    return gone;
  }
}
