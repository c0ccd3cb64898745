/** Real servers and nodes for tests: processes on this machine, found by their own pids and ended with the test. */

import { type Cluster, type ClusterOptions, connectCluster } from "@flashtile/attention/cluster";

const root = new URL("../../", import.meta.url);

/** Whether this machine has nats-server. Where FLASHTILE_NATS is "required", as in CI, having none fails. */
export const hasServer: boolean = await (async () => {
  try {
    const { success } = await new Deno.Command("nats-server", {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).output();
    if (success) return true;
  } catch {
    // it is not installed
  }
  if (Deno.env.get("FLASHTILE_NATS") === "required") throw new Error("nats-server is missing");
  console.log("not run on this machine: tests of clusters, nats-server is missing");
  return false;
})();

/** A process that ends with the test. */
export class Child implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #text: string[] = [];
  #ended = false;
  readonly status: Promise<Deno.CommandStatus>;

  constructor(command: string, args: readonly string[]) {
    this.#child = new Deno.Command(command, {
      args: [...args],
      cwd: root,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const listen = async (stream: ReadableStream<Uint8Array>) => {
      const text = stream.pipeThrough(
        new TextDecoderStream() as TransformStream<Uint8Array, string>,
      );
      for await (const part of text) this.#text.push(part);
    };
    const heard = Promise.all([listen(this.#child.stdout), listen(this.#child.stderr)]);
    this.status = this.#child.status.then(async (status) => {
      this.#ended = true;
      await heard;
      return status;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** What it has printed. */
  get text(): string {
    return this.#text.join("");
  }

  /** Sends a signal, where the process still lives. */
  kill(signal: Deno.Signal): void {
    if (!this.#ended) this.#child.kill(signal);
  }

  /** Resolves when it has printed something. */
  async prints(what: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const found = this.text.match(what);
      if (found) return found;
      if (this.#ended) throw new Error(`the process ended: ${this.text}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGCONT");
    this.kill("SIGKILL");
    await this.status;
  }
}

/** A NATS server on the loopback interface; it can go away and come back on its port. */
export class Server implements AsyncDisposable {
  #child: Child;
  readonly port: number;
  readonly #args: readonly string[];

  private constructor(child: Child, port: number, args: readonly string[]) {
    this.#child = child;
    this.port = port;
    this.#args = args;
  }

  static async start(args: readonly string[] = []): Promise<Server> {
    const child = new Child("nats-server", ["-a", "127.0.0.1", "-p", "-1", ...args]);
    const [, port] = await child.prints(/client connections on 127\.0\.0\.1:(\d+)[\s\S]*ready/);
    return new Server(child, Number(port), args);
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** What it has printed. */
  get text(): string {
    return this.#child.text;
  }

  /** Ends the process at once. */
  async stop(): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }

  /** Begins again on the same port. */
  async again(): Promise<void> {
    this.#child = new Child("nats-server", [
      "-a",
      "127.0.0.1",
      "-p",
      `${this.port}`,
      ...this.#args,
    ]);
    await this.#child.prints(/Server is ready/);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Starts a node as a process of its own, with the permissions that pages name. */
export async function startNodeProcess(
  url: string,
  name: string,
  more: readonly string[] = [],
): Promise<Child> {
  const address = url.replace(/^nats:\/\//, "");
  return await serving([
    ...["run", "--no-prompt", `--allow-net=${address.split(":")[0]}`],
    ...["src/cluster/node_main.ts", "--servers", url, "--name", name],
    ...["--threads", "1", "--backend", "wasm", ...more],
  ]);
}

/** A node that Deno runs, when it is there. */
export async function serving(args: readonly string[]): Promise<Child> {
  const child = new Child(Deno.execPath(), args);
  try {
    await child.prints(/serves on/);
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
  return child;
}

/** A server, some nodes and a client. */
export interface TestCluster extends AsyncDisposable {
  readonly server: Server;
  readonly nodes: Map<string, Child>;
  readonly cluster: Cluster;
  /** One node more. */
  add(name: string): Promise<Child>;
}

/** Starts them all. */
export async function startCluster(
  nodes: number,
  options: Partial<ClusterOptions> = {},
  serverArgs: readonly string[] = [],
): Promise<TestCluster> {
  const stack = new AsyncDisposableStack();
  try {
    const server = stack.use(await Server.start(serverArgs)), all = new Map<string, Child>();
    const add = async (name: string) => {
      const child = stack.use(await startNodeProcess(server.url, name));
      all.set(name, child);
      return child;
    };
    await Promise.all(Array.from({ length: nodes }, (_, n) => add(`n${n}`)));
    const cluster = await connectCluster({ servers: server.url, name: "test", ...options });
    stack.defer(() => cluster.close());
    return { server, nodes: all, cluster, add, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** A test that needs a server; skipped, visibly, where there is none. */
export function clusterTest(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  // connections end with the test, the engine that merges lives on
  Deno.test({ name, ignore: !hasServer, sanitizeOps: false, sanitizeResources: false, fn });
}
