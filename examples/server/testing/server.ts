/** A server of a small random model on loopback, for tests. */
import assert from "node:assert/strict";
import { createEngine } from "../../../mod.ts";
import type { Caches } from "../../llama/caches.ts";
import { randomModel, TINY, tinyTokenizer } from "../../llama/testing/tiny_model.ts";
import { openService, type ServiceOptions } from "../open_service.ts";
import type { Service } from "../service.ts";

export interface Server {
  service: Service;
  caches: Caches;
  url: string;
  /** Asks for a completion. */
  post(body: unknown, options?: RequestInit): Promise<Response>;
}

const OPTIONS: ServiceOptions = {
  name: "tiny",
  sequences: 8,
  pages: 40,
  promptRows: 32,
  dtype: "f32",
  bodyBytes: 4096,
  tokens: 100,
  texts: 4,
  queue: 200,
  seconds: 60,
};

/** Starts a server of a random model on loopback; all its pages must be free in the end. */
export function serverTest(
  name: string,
  options: Partial<ServiceOptions>,
  body: (server: Server) => Promise<void>,
): void {
  const net = Deno.permissions.querySync({ name: "net", host: "127.0.0.1" }).state === "granted";
  const why = net ? "" : " (left out: needs --allow-net=127.0.0.1)";
  Deno.test({
    name: `server: ${name}${why}`,
    ignore: !net,
    async fn() {
      using engine = await createEngine({ backend: "wasm", threads: 1 });
      const model = randomModel(TINY, 1, false);
      const { service, caches } = openService(engine, model, tinyTokenizer(), {
        ...OPTIONS,
        ...options,
      });
      using _ = caches;
      const listen = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
      const server = Deno.serve(listen, service.fetch);
      const url = `http://127.0.0.1:${server.addr.port}`;
      const post = (body: unknown, options: RequestInit = {}) =>
        fetch(`${url}/v1/completions`, {
          method: "POST",
          body: typeof body === "string" ? body : JSON.stringify(body),
          ...options,
        });
      await body({ service, caches, url, post });
      await service.drain();
      for (const { lengths, freePages } of caches.layers) {
        assert.ok(lengths.every((length) => length === 0));
        assert.equal(freePages, options.pages ?? OPTIONS.pages);
      }
      await server.shutdown();
    },
  });
}

/** The data of a stream's events. */
export async function* events(response: Response): AsyncGenerator<string> {
  let held = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const parts = (held + piece).split("\n\n");
    held = parts.pop()!;
    for (const part of parts) yield part.replace(/^data: /, "");
  }
  assert.equal(held, "");
}

/** A stream put together: the text of each choice, why it ended, and the last event. */
export async function readStream(
  response: Response,
): Promise<{ texts: string[]; ends: string[] }> {
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const texts: string[] = [], ends: string[] = [];
  let last = "";
  for await (last of events(response)) {
    if (last === "[DONE]") continue;
    for (const { index, text, finish_reason: finish } of JSON.parse(last).choices) {
      assert.equal(ends[index], undefined, "nothing follows the end");
      texts[index] = (texts[index] ?? "") + text;
      if (finish !== null) ends[index] = finish;
    }
  }
  assert.equal(last, "[DONE]");
  return { texts, ends };
}
