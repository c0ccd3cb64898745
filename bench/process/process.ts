/**
 * A contender process as the driver sees it: start, ask, stop. Every wait has an end, because a
 * library that runs out of memory may hang instead of failing.
 * @module
 */

import { type Answer, ANSWER_MARK, type Job, type Request } from "./job.ts";

const CONTENDER = new URL("./contender.ts", import.meta.url).pathname;
/** The libraries come from their folder, not from the registry. */
const CONFIG = new URL("../peers/deno.json", import.meta.url).pathname;

const FLAGS = ["run", "-A", "--quiet", "--no-lock", "--config", CONFIG];

/** The command that runs one contender. */
export function contenderCommand(
  job: Job,
  more: readonly string[] = [],
  signal?: AbortSignal,
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    // Peers write anywhere they like (caches, worker files), so no permission is worth asking for.
    args: [...FLAGS, CONTENDER, JSON.stringify(job), ...more],
    env: { NO_COLOR: "1", TF_CPP_MIN_LOG_LEVEL: "3" },
    ...{ stdin: "piped", stdout: "piped", stderr: "piped", signal },
  });
}

export class ContenderProcess {
  readonly job: Job;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: ReadableStreamDefaultReader<Answer>;
  #lastWords = "";

  constructor(job: Job) {
    this.job = job;
    this.#child = contenderCommand(job).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#answers = this.#child.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(answersIn())
      .getReader();
    void this.#keepLastWords();
  }

  /** The next answer; rejects when the contender failed, ended or took longer than allowed. */
  async next(limitMs: number): Promise<Answer> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const give = () => reject(new Error(`no answer in ${Math.round(limitMs / 1000)} s`));
    const timer = setTimeout(give, limitMs);
    try {
      const { value, done } = await Promise.race([this.#answers.read(), late]);
      if (done) throw new Error(`ended: ${this.#lastWords || "no message"}`);
      if (value.failed) throw new Error(value.failed);
      return value;
    } finally {
      clearTimeout(timer);
    }
  }

  async ask(request: Request, limitMs: number): Promise<Answer> {
    await this.#input.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
    return await this.next(limitMs);
  }

  /** Ends the process, whatever it is doing. */
  async stop(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // Already gone.
    }
    await this.#child.status;
    await this.#input.abort().catch(() => {});
    await this.#answers.cancel().catch(() => {});
  }

  async #keepLastWords(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = text.trim().split("\n");
      this.#lastWords = lines[lines.length - 1].slice(0, 160) || this.#lastWords;
    }
  }
}

/** Picks the answers out of everything a contender prints. */
function answersIn(): TransformStream<string, Answer> {
  let pending = "";
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (pending + chunk).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.startsWith(ANSWER_MARK)) continue;
        controller.enqueue(JSON.parse(line.slice(ANSWER_MARK.length)) as Answer);
      }
    },
  });
}
