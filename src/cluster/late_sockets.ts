// Errors of sockets that nobody listens to any more.
import process from "node:process";
import { setTimeout } from "node:timers";

const LATE: readonly unknown[] = ["ECONNRESET", "EPIPE"];
/** A socket that was given up has said what it has to say by then, in milliseconds. */
const MOMENT_MS = 500;

/**
 * In Deno 2.9.6 a socket that the transport has given up can still raise an error, and nobody can catch it (about once in
 * sixty refused connections). The connection is looked for again anyway; a node must not lose its rows for it. What is
 * returned ends that, a moment after it is called: the last connection may be one of those.
 */
export function outliveSockets(): () => void {
  const hear = (error: Error & { code?: string }) => {
    if (LATE.includes(error.code)) return;
    console.error(error);
    process.exit(1);
  };
  process.on("uncaughtException", hear);
  return () => void setTimeout(() => process.off("uncaughtException", hear), MOMENT_MS).unref();
}
