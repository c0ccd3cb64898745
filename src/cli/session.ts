// What a command has of its surroundings: where it writes, whether anybody looks on, and when to stop.
import process from "node:process";
import type { AbortSignalLike } from "../backend/backend.ts";
import { Interruption } from "./exit.ts";

/** What is used of an `AbortSignal`. */
export interface StopSignal extends AbortSignalLike {
  /** Whether it was aborted. */
  readonly aborted: boolean;
  /** Calls `listener` when it is. */
  addEventListener(type: "abort", listener: () => void): void;
}

/** Where the command line writes and what stops it; a program that embeds it brings its own. */
export interface CliHost {
  /** Results. */
  readonly stdout: (text: string) => void;
  /** Progress and errors. */
  readonly stderr: (text: string) => void;
  /** Columns of the terminal behind `stderr`; undefined where there is none. */
  readonly columns?: number | undefined;
  /** Stops what is under way. */
  readonly signal?: StopSignal | undefined;
}

/** The host of a command that runs. */
export interface Session extends Omit<CliHost, "signal"> {
  readonly signal: StopSignal;
  /** Whether results are to be JSON. */
  readonly json: boolean;
}

/** The process that this is, as a host. `close` takes its listeners back. */
export function processHost(): CliHost & { readonly close: () => void } {
  const stop = new AbortController();
  const interrupt = (signal: string) => {
    if (stop.signal.aborted) process.exit(new Interruption(signal).code); // asked for twice
    stop.abort(new Interruption(signal));
  };
  const signals = process.platform === "win32" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const heard = signals.map((name) => [name as "SIGINT", () => interrupt(name)] as const);
  for (const [name, listener] of heard) process.on(name, listener);
  // whoever reads has had enough: `flashtile info | head`
  const closed = (error: Error & { code?: string }) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  };
  process.stdout.on("error", closed);
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    columns: process.stderr.isTTY ? process.stderr.columns || 80 : undefined,
    signal: stop.signal,
    close() {
      for (const [name, listener] of heard) process.off(name, listener);
      process.stdout.off("error", closed);
    },
  };
}
