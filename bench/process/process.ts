/**
 * A contender process as the driver sees it: start, ask, stop. Every wait has an end, because a
 * library that runs out of memory may hang instead of failing.
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Answer, Job, Request } from "./job.ts";

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
  #answer = Promise.withResolvers<Answer>();
  #lastWords = "";

  constructor(job: Job) {
    this.job = job;
    this.#child = spawn(Deno.execPath(), contenderArgs(job), {
      env: { ...Deno.env.toObject(), ...CONTENDER_ENV },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child.on("message", (answer: Answer) => {
      if (answer.failed) this.#fail(answer.failed);
      else this.#answer.resolve(answer);
    });
    this.#child.on("exit", () => this.#fail(`ended: ${this.#lastWords || "no message"}`));
    this.#child.on("error", ({ message }) => this.#fail(message));
    this.#child.stderr!.on("data", (text) => {
      this.#lastWords = String(text).trim().split("\n").pop()!.slice(0, 160) || this.#lastWords;
    });
  }

  /** The answer that is due, first that it is ready; rejects when the contender failed, ended or is late. */
  async next(limitMs: number): Promise<Answer> {
    const late = () => this.#fail(`no answer in ${Math.round(limitMs / 1000)} s`);
    const timer = setTimeout(late, limitMs);
    try {
      return await this.#answer.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async ask(request: Request, limitMs: number): Promise<Answer> {
    if (this.#ended) throw new Error(`ended: ${this.#lastWords || "no message"}`);
    this.#answer = Promise.withResolvers();
    this.#child.send(request);
    return await this.next(limitMs);
  }

  /** Milliseconds of one of so many calls. */
  async time(calls: number, discard: boolean, limitMs: number): Promise<number> {
    return (await this.ask({ do: "time", calls, discard }, limitMs)).ms ?? NaN;
  }

  /** Ends the process, whatever it is doing. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }

  get #ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #fail(reason: string): void {
    this.#answer.promise.catch(() => {}); // nobody may be waiting
    this.#answer.reject(new Error(reason));
  }
}
