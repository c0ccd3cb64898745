// The example of an edge function as its README says: built by wrangler with the package, in workerd under load.
import { ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { describe, load, type Outcome } from "../../../examples/edge/load.ts";
import { within } from "../process.ts";
import { noNpm } from "../programs.ts";
import type { Consumer } from "./consumer.ts";
import { DATE, upload } from "./workerd.ts";

const MIB = 2 ** 20;
/** What Cloudflare gives an isolate; workerd itself enforces nothing. */
const MOST_BYTES = 128 * MIB;
const CLIENTS = 32, SECONDS = { some: 5, all: 60 };

/** The example's own folder, laid beside what it imports: the package is the installed one. */
async function copyExample(root: string): Promise<string> {
  const folder = `${root}/examples`,
    from = fileURLToPath(new URL("../../../examples/", import.meta.url));
  for (const name of ["edge", "edge/cloudflare", "server"]) {
    await Deno.mkdir(`${folder}/${name}`, { recursive: true });
    for await (const { name: file, isFile } of Deno.readDir(`${from}/${name}`)) {
      if (isFile) await Deno.copyFile(`${from}/${name}/${file}`, `${folder}/${name}/${file}`);
    }
  }
  return `${folder}/edge/cloudflare`;
}

/** What an isolate holds, as its inspector says: its heap, and arrays and WebAssembly memory outside of it. */
class Isolate {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (bytes: number) => void>();
  #asked = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(data);
      const { usedSize = NaN, embedderHeapUsedSize = 0, backingStorageSize = 0 } = result ?? {};
      this.#answers.get(id)?.(usedSize + embedderHeapUsedSize + backingStorageSize);
      this.#answers.delete(id);
    };
  }

  static async of(miniflare: Miniflare): Promise<Isolate> {
    const { host } = await miniflare.getInspectorURL();
    const list: { id: string }[] = await (await fetch(`http://${host}/json`)).json();
    const socket = new WebSocket(`ws://${host}/${list[0]!.id}`);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Isolate(socket);
  }

  bytes(): Promise<number> {
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#answers.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method: "Runtime.getHeapUsage" }));
    });
  }

  close(): void {
    this.#socket.close();
  }
}

function check(outcome: Outcome): string {
  const text = describe(outcome), { requests, failures, memory } = outcome;
  ok(failures.length === 0, text);
  ok(requests >= CLIENTS, text);
  ok(memory.length > 0 && memory.every((bytes) => bytes < MOST_BYTES), text);
  return text.replaceAll("\n", "; ");
}

async function serve(root: string, seconds: number): Promise<string> {
  const { modules, size } = await upload(await copyExample(root));
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    inspectorPort: 0,
    cf: false,
    telemetry: { enabled: false },
    compatibilityDate: DATE,
    modulesRoot: "/",
    modules,
  });
  try {
    const url = (await miniflare.ready).href.replace(/\/$/, "");
    const { status, reason } = await (await fetch(`${url}/health`)).json();
    ok(status === "ok", JSON.stringify({ status, reason }));
    const isolate = await Isolate.of(miniflare);
    const outcome = await load(url, { clients: CLIENTS, seconds, memory: () => isolate.bytes() });
    isolate.close();
    return `${check(outcome)}; ${size}`;
  } finally {
    await miniflare.dispose();
  }
}

/** The consumer: some seconds of load, a minute of it with `all`. */
export async function rerankConsumers(root: string, all: boolean): Promise<Consumer[]> {
  const seconds = all ? SECONDS.all : SECONDS.some;
  const run = () => within(60 + seconds, "miniflare", serve(root, seconds));
  const name = `examples/edge in workerd, ${CLIENTS} clients for ${seconds} s, packed`;
  return [{ name, skip: await noNpm(), run }];
}
