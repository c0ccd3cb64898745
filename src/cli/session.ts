// What a command has of its surroundings: where it writes, whether anybody looks on, and when to stop.
import process from "node:process";
import { setTimeout } from "node:timers";
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

/** The process that this is, as a host. */
export interface ProcessHost extends CliHost {
  /** Waits until results have left; the error where they could not be written. */
  readonly settled: () => Promise<Error | undefined>;
  /** Takes its listeners back. */
  readonly close: () => Promise<void>;
}

/** A stream tells of errors a turn after it has failed. */
const turn = () => new Promise<void>((resolve) => setTimeout(resolve));

/** Resolves when what was written to stdout has left, or failed to. */
const flushed = () => new Promise<void>((resolve) => process.stdout.write("", () => resolve()));

/** The process that this is, as a host. */
export function processHost(): ProcessHost {
  const stop = new AbortController();
  const interrupt = (signal: string) => {
    if (stop.signal.aborted) process.exit(new Interruption(signal).code); // asked for twice
    stop.abort(new Interruption(signal));
  };
  const signals = process.platform === "win32" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const heard = signals.map((name) => [name as "SIGINT", () => interrupt(name)] as const);
  for (const [name, listener] of heard) process.on(name, listener);
  let lost: Error | undefined;
  const unwritten = (error: Error & { code?: string }) => {
    if (error.code !== "EPIPE") lost ??= error; // else who reads has had enough: `flashtile info | head`
  };
  const unsaid = () => {}; // nobody is left to be told of it
  let stuck = false; // a stream of Deno's that failed throws at once, and calls nobody back
  const put = (
    stream: { write(text: string): unknown },
    text: string,
    failed: (error: Error) => void,
  ) => {
    try {
      stream.write(text);
    } catch (error) {
      stuck = true;
      failed(error as Error);
    }
  };
  process.stdout.on("error", unwritten);
  process.stderr.on("error", unsaid);
  return {
    stdout: (text) => put(process.stdout, text, unwritten),
    stderr: (text) => put(process.stderr, text, unsaid),
    columns: process.stderr.isTTY ? process.stderr.columns || 80 : undefined,
    signal: stop.signal,
    async settled() {
      if (!stuck) await flushed();
      await turn();
      return lost;
    },
    async close() {
      await turn();
      for (const [name, listener] of heard) process.off(name, listener);
      process.stdout.off("error", unwritten);
      process.stderr.off("error", unsaid);
    },
  };
}
