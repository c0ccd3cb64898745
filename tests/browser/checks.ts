// What pages do alike: checks, each of which sends its line to the server.
import type { Check } from "./report.ts";

/** Sends a message. */
export async function send(path: string, body: unknown): Promise<void> {
  await fetch(path, { method: "POST", body: JSON.stringify(body) });
}

/** Runs a check and sends its line at once: the server sees how far the page got. */
export async function check(name: string, run: () => Promise<string>): Promise<void> {
  const begin = performance.now();
  let result: Pick<Check, "ok" | "text">;
  try {
    result = { ok: true, text: await run() };
  } catch (error) {
    result = { ok: false, text: error instanceof Error ? `${error.stack}` : String(error) };
  }
  const seconds = (performance.now() - begin) / 1000;
  await send("/check", { name, ...result, seconds } satisfies Check);
}

/** Throws unless a condition holds. */
export function ok(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}
