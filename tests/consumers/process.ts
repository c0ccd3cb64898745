// Child processes with a time limit. Nothing here waits for ever.

/** What a finished process left. */
export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  /** When it ended, in milliseconds since the epoch. */
  readonly end: number;
}

/** How a process is run. */
export interface RunOptions {
  readonly cwd: string;
  readonly env?: Record<string, string> | undefined;
  readonly seconds?: number;
}

/** Time limit of a process that names none. */
const SECONDS = 60;

/** Deno asks nothing, colours nothing, and does not look for updates. */
const QUIET = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", DENO_NO_PROMPT: "1" };

/** The last lines of a text, for error messages: a stack would push out what happened. */
function tail(text: string): string {
  const lines = text.split("\n").filter((line) =>
    line.trim() && !/^\s+at |^Stack back|^\s+0: </.test(line)
  );
  return lines.slice(-12).join("\n");
}

/** A promise that rejects when `promise` takes too long. */
export async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`${what} took over ${seconds} s`)),
    seconds * 1000,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a program to its end; throws with its last lines when it fails or takes too long. */
export async function run(
  program: string,
  args: readonly string[],
  { cwd, env, seconds = SECONDS }: RunOptions,
): Promise<Finished> {
  const name = program.replace(/.*[/\\]/, "");
  const child = new Deno.Command(program, {
    args: [...args],
    cwd,
    env: { ...QUIET, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const ended = child.status.then(() => Date.now());
  try {
    // not a signal of the command: a grandchild could still hold the pipes open after the kill
    const { code, stdout, stderr } = await within(seconds, name, child.output());
    const text = { stdout: decode(stdout), stderr: decode(stderr), end: await ended };
    if (code === 0) return text;
    throw new Error(`${name} ended with ${code}\n${tail(`${text.stdout}\n${text.stderr}`)}`);
  } finally {
    kill(child);
  }
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Runs this Deno. */
export function deno(args: readonly string[], options: RunOptions): Promise<Finished> {
  return run(Deno.execPath(), args, options);
}

/** The version of a program, or undefined where there is none. */
export async function versionOf(program: string): Promise<string | undefined> {
  try {
    return (await run(program, ["--version"], { cwd: "." })).stdout.trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** A `deno serve` on a free port of 127.0.0.1 with the given permissions (none by default). */
export async function withServer<T>(
  args: readonly string[],
  cwd: string,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["serve", "--host", "127.0.0.1", "--port", "0", ...args],
    cwd,
    env: QUIET,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(SECONDS * 1000),
  }).spawn();
  const [first, rest] = child.stderr.tee();
  const whole = new Response(rest).text();
  try {
    return await use(await listening(first));
  } catch (error) {
    kill(child);
    throw new Error(`${(error as Error).message}\n${tail(await whole)}`, { cause: error });
  } finally {
    kill(child);
    await Promise.all([child.status, whole]);
  }
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch { // it has ended already
  }
}

/** The address in the line that `deno serve` prints once it listens. */
async function listening(stderr: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of stderr.pipeThrough(new TextDecoderStream())) {
    text += part;
    const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(text);
    if (url) return url[0];
  }
  throw new Error("deno serve ended before it listened");
}
