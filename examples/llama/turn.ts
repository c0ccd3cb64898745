import { setImmediate } from "node:timers/promises";

/** A timer sleeps for a millisecond, but without one every few the loop does not hear of sockets. */
const LISTEN_MS = 5;

/**
 * Lets the event loop handle what has come in. Takes and returns when it last listened to sockets and
 * signals.
 */
export async function turn(listened: number): Promise<number> {
  if (performance.now() - listened < LISTEN_MS) {
    await setImmediate();
    return listened;
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
  return performance.now();
}
