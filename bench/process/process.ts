/**
 * A contender process as the driver sees it: start, ask, stop. Every wait has an end, because a
 * library that runs out of memory may hang instead of failing.
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Answer, Commands, Job } from "./job.ts";

const CONTENDER = new URL("./contender.ts", import.meta.url).pathname;
/** The libraries come from their folder, not from the registry. */
const CONFIG = new URL("../peers/deno.json", import.meta.url).pathname;
export const CONTENDER_ENV = { NO_COLOR: "1", TF_CPP_MIN_LOG_LEVEL: "3" };

/** How Deno runs one contender. Peers write anywhere they like, so no permission is worth asking for. */
export function contenderArgs(job: Job, ...more: readonly string[]): string[] {
  const flags = ["run", "-A", "--quiet", "--no-lock", "--config", CONFIG];
  return [...flags, CONTENDER, JSON.stringify(job), ...more];
}

export class ContenderProcess {
  readonly job: Job;
  readonly #child: ChildProcess;
  #answer = Promise.withResolvers<unknown>();
  #lastWords = "";

  constructor(job: Job) {
    this.job = job;
    this.#child = spawn(Deno.execPath(), contenderArgs(job), {
      env: { ...Deno.env.toObject(), ...CONTENDER_ENV },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child.on("message", ({ value, failed }: Answer) => {
      if (failed) this.#fail(failed);
      else this.#answer.resolve(value ?? NaN); // JSON has none
    });
    this.#child.on("exit", () => this.#fail(`ended: ${this.#lastWords || "no message"}`));
    this.#child.on("error", ({ message }) => this.#fail(message));
    this.#child.stderr!.on("data", (text) => {
      this.#lastWords = String(text).trim().split("\n").pop()!.slice(0, 160) || this.#lastWords;
    });
  }

  /** The calls that a sample may have, once the contender is ready. */
  async ready(limitMs: number): Promise<number> {
    return await this.#next(limitMs) as number;
  }

  /** Rejects when the contender failed, ended or is late. */
  async ask<Name extends keyof Commands>(
    limitMs: number,
    name: Name,
    ...args: Parameters<Commands[Name]>
  ): Promise<Awaited<ReturnType<Commands[Name]>>> {
    if (this.#ended) throw new Error(`ended: ${this.#lastWords || "no message"}`);
    this.#answer = Promise.withResolvers();
    this.#child.send([name, ...args]);
    return await this.#next(limitMs) as Awaited<ReturnType<Commands[Name]>>;
  }

  /** Ends the process, whatever it is doing. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }

  async #next(limitMs: number): Promise<unknown> {
    const late = () => this.#fail(`no answer in ${Math.round(limitMs / 1000)} s`);
    const timer = setTimeout(late, limitMs);
    return await this.#answer.promise.finally(() => clearTimeout(timer));
  }

  get #ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #fail(reason: string): void {
    this.#answer.promise.catch(() => {}); // nobody may be waiting
    this.#answer.reject(new Error(reason));
  }
}
