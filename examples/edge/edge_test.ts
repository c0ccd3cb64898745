import assert from "node:assert/strict";
import { createEngine, type Engine } from "../../mod.ts";
import { start, testProcess } from "../llama/testing/process.ts";
import { waitFor } from "../server/testing/lines.ts";
import { createHandler } from "./handler.ts";
import { LIMITS, type Limits } from "./limits.ts";
import { ask, load } from "./load.ts";
import { badSamples, binaryBody, goodSample, type Sample } from "./testing/bodies.ts";

/** Answers of a handler without a server. */
type Ask = (path: string, init?: RequestInit) => Promise<{ response: Response; answer: Answer }>;

interface Answer {
  results: { index: number; score: number | null; matches?: number[] }[];
  error: { message: string; param: string | null; code: number };
}

function handlerTest(
  name: string,
  limits: Partial<Limits>,
  body: (ask: Ask, engine: Engine) => Promise<void>,
): void {
  Deno.test(`edge: ${name}`, async () => {
    const all = { ...LIMITS, ...limits }, { memoryBudget } = all;
    using engine = await createEngine({ backend: "wasm", threads: 1, memoryBudget });
    const handle = createHandler(engine, all);
    await body(async (path, init) => {
      const response = await handle(new Request(`http://edge.test${path}`, init));
      const text = await response.text();
      return { response, answer: text.startsWith("{") ? JSON.parse(text) : text };
    }, engine);
  });
}

const post = (body: BodyInit, type = "application/json"): RequestInit => ({
  method: "POST",
  headers: { "Content-Type": type },
  body,
});
const json = (body: unknown): RequestInit => post(JSON.stringify(body));

const SIZES = { tokens: 5, documents: 7, documentTokens: 9, dim: 12 };

handlerTest("scores agree with float64, in every form of the body", {}, async (ask) => {
  for (const form of ["json", "f32", "f16"] as const) {
    const { type, body, scores } = goodSample(3, form, SIZES);
    const { response, answer } = await ask("/rerank", post(body, type));
    assert.equal(response.status, 200);
    assert.match(
      response.headers.get("server-timing")!,
      /^read;dur=[\d.]+, parse;dur=[\d.]+, score;dur=[\d.]+$/,
    );
    assert.deepEqual(
      answer.results.map(({ index }) => index),
      scores!.map((score, n) => [score, n] as const).sort(([a], [b]) => b - a).map(([, n]) => n),
    );
    for (const { index, score } of answer.results) {
      const want = scores![index]!;
      assert.ok(Math.abs(score! - want) <= 1e-5 * Math.abs(want), `${score}, wanted ${want}`);
    }
  }
});

handlerTest("top, matches, documents without tokens, equal scores", {}, async (ask) => {
  const body = json({
    query: [[1, 0], [0, 1]],
    documents: [[], [[1, 1]], [[0, 3], [2, 0]], [[1, 1], [0, 0]]],
  });
  const { answer } = await ask("/rerank?matches", body);
  assert.deepEqual(answer.results, [
    { index: 2, score: 5, matches: [1, 0] },
    { index: 1, score: 2, matches: [0, 0] },
    { index: 3, score: 2, matches: [0, 0] },
    { index: 0, score: null },
  ]);
  const { answer: one } = await ask("/rerank?top=1", body);
  assert.deepEqual(one.results, [{ index: 2, score: 5 }]);
  const { answer: none } = await ask("/rerank", json({ query: [[1]], documents: [] }));
  assert.deepEqual(none.results, []);
});

const LITTLE = { jsonBytes: 200, binaryBytes: 200, queryTokens: 2, documents: 2, dim: 3 };

handlerTest("what is wrong is refused by name", { ...LITTLE, documentTokens: 2 }, async (ask) => {
  const one = [[1, 2]], whole = binaryBody("f32", one, [one]);
  const words = (...all: number[]) =>
    post(new Uint8Array(Uint32Array.from(all).buffer), "application/octet-stream");
  const cases: [status: number, message: RegExp, init: RequestInit, path?: string][] = [
    [400, /^The body is not JSON: /, post("{")],
    [400, /^The body is not JSON: /, post(Uint8Array.of(0x22, 0xff, 0x22))],
    [400, /^The body must be an object/, json([1])],
    [400, /^size is not a field/, json({ query: one, documents: [one], size: 1 })],
    [400, /^query is missing/, json({ documents: [one] })],
    [400, /^documents\[0\] is no array/, json({ query: one, documents: [1] })],
    [400, /^documents\[1\]\[1\] is no array/, json({ query: one, documents: [[], [[1, 2], 1]] })],
    [
      400,
      /^query\[1\] has 1 numbers, but query\[0\] has 2/,
      json({ query: [[1, 2], [1]], documents: [] }),
    ],
    [
      400,
      /^query\[0\]\[1\] is "2", but must be a number/,
      json({ query: [[1, "2"]], documents: [] }),
    ],
    [
      400,
      /^the length of query is 3, but at most 2/,
      json({ query: [[1], [1], [1]], documents: [] }),
    ],
    [400, /^the number of documents is 3, but/, json({ query: one, documents: [[], [], []] })],
    [
      400,
      /^the length of documents\[0\] is 3, but/,
      json({ query: [[1]], documents: [[[1], [1], [1]]] }),
    ],
    [400, /^the length of a row is 4, but/, json({ query: [[1, 2, 3, 4]], documents: [] })],
    // the library's own sentence
    [400, /^Cannot run maxSim: .*dim.* 3/, json({ query: one, documents: [[[1, 2, 3]]] })],
    [400, /^The score of document 0 is /, json({ query: [[1e30]], documents: [[[1e30]]] })],
    [
      400,
      /^The body has 3 bytes, but its head has 16/,
      post(whole.slice(0, 3), "application/octet-stream"),
    ],
    [
      400,
      /^The body has 20 bytes, but by its head it has 36/,
      post(whole.slice(0, 20), "application/octet-stream"),
    ],
    [400, /^The type is 7/, words(7, 1, 1, 0, 0)],
    [400, /^dim is 4294967295, but at most 3/, words(0, 2 ** 32 - 1, 1, 0)],
    [400, /^the number of documents is 3, but/, words(0, 1, 1, 3)],
    [400, /^the length of document 0 is 9, but/, words(0, 1, 1, 1, 9)],
    [400, /^top is 0, but/, json({}), "/rerank?top=0"],
    [400, /^top is given twice/, json({}), "/rerank?top=1&top=2"],
    [400, /^matches is 0, but must be true or false/, json({}), "/rerank?matches=0"],
    [400, /^bottom is no parameter/, json({}), "/rerank?bottom=1"],
    [404, /^There is no \/rank/, json({}), "/rank"],
    [404, /^There is no \/constructor/, {}, "/constructor"],
    [405, /^\/rerank takes POST/, {}],
    [405, /^\/health takes GET and HEAD/, json({}), "/health"],
    [413, /^The body is longer than 200 bytes/, post(" ".repeat(201))],
    [413, /^The body is longer than 200 bytes/, post(new Blob([" ".repeat(201)]).stream())],
    [415, /^Content-Type is text\/csv, but/, post("1", "text/csv")],
    [415, /^Content-Type is missing/, { method: "POST", body: Uint8Array.of(1) }],
    [415, /^Content-Encoding is gzip/, { ...json({}), headers: { "Content-Encoding": "gzip" } }],
  ];
  for (const [status, message, init, path = "/rerank"] of cases) {
    const { response, answer } = await ask(path, init);
    assert.match(answer.error.message, message);
    assert.equal(response.status, status, answer.error.message);
    if (status === 405) assert.ok(response.headers.get("allow"));
  }
  const { answer } = await ask("/rerank", json({ query: one, documents: [one] }));
  assert.deepEqual(answer.results, [{ index: 0, score: 5 }]);
  const health = await ask("/health");
  assert.equal((health.answer as unknown as { bodyBytes: number }).bodyBytes, 0);
});

const slow = (signal: AbortSignal) =>
  new ReadableStream({
    start(controller) {
      signal.addEventListener("abort", () => controller.close());
    },
  });

handlerTest("a body that does not come, and no room meanwhile", {
  seconds: 0.2,
  roomBytes: 16 * LIMITS.jsonBytes,
}, async (ask) => {
  const never = new AbortController();
  const late = [1, 2].map(() => ask("/rerank", post(slow(never.signal))));
  const { response, answer } = await ask("/rerank", post(slow(never.signal)));
  assert.equal(response.status, 503, answer.error.message);
  assert.equal(response.headers.get("retry-after"), "1");
  for (const { response, answer } of await Promise.all(late)) {
    assert.equal(response.status, 408, answer.error.message);
  }
  const { response: after } = await ask("/rerank", json({ query: [[1]], documents: [] }));
  assert.equal(after.status, 200);
});

handlerTest("memory is that of the budget: what does not fit is refused", {
  memoryBudget: 2 ** 20,
}, async (ask, engine) => {
  const wide: number[] = new Array(200).fill(1);
  const big = binaryBody("f32", [wide], [new Array(2048).fill(wide)]);
  const { response, answer } = await ask("/rerank", post(big, "application/octet-stream"));
  assert.match(answer.error.message, /^Cannot run maxSim: it takes .* memoryBudget is 1048576/);
  assert.equal(response.status, 413);
  assert.ok(engine.memory.total <= 2 ** 20);
  const { response: after } = await ask("/rerank", json({ query: [[1]], documents: [[[1]]] }));
  assert.equal(after.status, 200);
});

testProcess("edge: deno serve without permissions, 32 clients, good and bad requests", [
  { name: "net", host: "127.0.0.1" },
], async () => {
  const heap = "--v8-flags=--max-old-space-size=48,--max-semi-space-size=2";
  const child = start([
    ...["serve", "--no-check", "--no-prompt", "--host", "127.0.0.1", "--port", "0", heap],
    "examples/edge/main.ts",
  ]);
  try {
    void child.stdout.cancel();
    const [url] = await waitFor(child.stderr, /http:\/\/127\.0\.0\.1:\d+/);
    const { requests, failures } = await load(url, { clients: 32, seconds: 3 });
    assert.deepEqual(failures, []);
    assert.ok(requests >= 32);
    const samples: Sample[] = [...badSamples(), goodSample(9, "f16", SIZES)];
    for (const sample of samples) assert.equal(await ask(url, sample), undefined, sample.name);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
});
