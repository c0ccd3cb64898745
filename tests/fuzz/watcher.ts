/// <reference lib="deno.worker" />
/** Runs beside the fuzzer: a loop that never ends keeps its thread from saying so itself. */

/** A trial that has begun. */
interface Beat {
  readonly about: string;
  /** Seconds that it may take. */
  readonly limit: number;
  /** Whether the process ends with it. */
  readonly stop: boolean;
}

let timer: ReturnType<typeof setTimeout> | undefined;

self.onmessage = ({ data: { about, limit, stop } }: MessageEvent<Beat>) => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    console.error(`hangs for ${limit} s: ${about}`);
    if (stop) Deno.kill(Deno.pid, "SIGKILL");
  }, 2000 * limit); // late promises come first
};
