import assert from "node:assert/strict";
import { createEngine } from "../../mod.ts";
import { Random } from "../byte_lm/random.ts";
import { Batch } from "./batch.ts";
import { type CacheOptions, Caches } from "./caches.ts";
import { Llama } from "./llama.ts";
import { randomModel, TINY, tinyTokenizer } from "./testing/tiny_model.ts";
import type { EndReason } from "./text_request.ts";
import type { Model } from "./weights.ts";

const PAGES: CacheOptions = { sequences: 4, dtype: "f32", room: { pageSize: 4, pages: 80 } };
const TEXTS = [
  "one",
  "a text that is much longer than the others",
  "",
  "a text that is much like another",
  "two",
  "a text that is much longer than three",
  "six",
];

/** A text under way. */
interface Written {
  tokens: number[];
  ended: Promise<EndReason | Error>;
  stop(): void;
}

type Write = (text: string, tokens: number) => Written;

/** Runs a batch, and looks whether it is as empty at its end as at its beginning. */
async function withBatch(
  { room = PAGES.room, promptRows = Infinity, model = randomModel(TINY, 1, false) }: {
    room?: CacheOptions["room"];
    promptRows?: number;
    model?: Model;
  },
  body: (write: Write, batch: Batch) => Promise<void>,
): Promise<void> {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  using caches = new Caches(engine, model.shape, { ...PAGES, room });
  const { sequences } = PAGES;
  const batch = new Batch(new Llama(model, engine), caches, { sequences, promptRows });
  await body((text, count) => {
    const tokens: number[] = [], ended = Promise.withResolvers<EndReason | Error>();
    const stop = batch.submit({
      prompt: tinyTokenizer().encode(text),
      tokens: count,
      sampling: { temperature: 0, topP: 1 },
      random: new Random(1),
      stops: new Set(),
      onToken: (token) => tokens.push(token),
      onEnd: ended.resolve,
    });
    return { tokens, ended: ended.promise, stop };
  }, batch);
  await batch.idle();
  assert.ok(caches.layers.every(({ lengths }) => lengths.every((length) => length === 0)));
  assert.deepEqual([batch.running, batch.waiting, batch.reserved], [0, 0, 0]);
}

for (const room of [PAGES.room, { capacity: 64 }]) {
  for (const promptRows of [Infinity, 7]) {
    const kind = "pages" in room ? "paged" : "contiguous";
    Deno.test(`llama: texts together are as alone, ${kind}, ${promptRows} rows a step`, async () => {
      const lengths = TEXTS.map((_, i) => 3 + 5 * i % 17), alone: number[][] = [];
      await withBatch({}, async (write) => {
        for (const [i, text] of TEXTS.entries()) {
          const { tokens, ended } = write(text, lengths[i]!);
          assert.equal(await ended, "length");
          alone.push(tokens);
        }
      });
      await withBatch({ room, promptRows }, async (write, batch) => {
        const texts = TEXTS.map((text, i) => write(text, lengths[i]!));
        for (const { ended } of texts) assert.equal(await ended, "length");
        assert.deepEqual(texts.map(({ tokens }) => tokens), alone);
        const shared = "a text that is much l".length; // and a mark, less what is joined
        assert.ok(batch.counts.sharedTokens >= 2 * (shared - 4), "prefixes are shared");
      });
    });
  }
}

Deno.test("llama: texts that are stopped give their room back, running or waiting", () =>
  withBatch({}, async (write, batch) => {
    const texts = [...TEXTS, ...TEXTS].map((text) => write(text, 30));
    while (texts[0]!.tokens.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.ok(batch.running >= 3, "the fourth may wait for a prefix that it shares");
    assert.equal(batch.running + batch.waiting, texts.length);
    for (const text of [0, 1, 9].map((i) => texts[i]!)) text.stop();
    const reasons = await Promise.all(texts.map(({ ended }) => ended));
    reasons.forEach((reason, i) =>
      assert.equal(reason, [0, 1, 9].includes(i) ? "cancelled" : "length")
    );
    assert.ok(texts[0]!.tokens.length < 30);
    assert.equal(texts[9]!.tokens.length, 0);
  }));

for (const part of ["norm", "wq"] as const) {
  Deno.test(`llama: when ${part} is damaged texts end, and later ones are as ever`, async () => {
    const model = randomModel(TINY, 1, false), { weights } = model, [layer] = weights.layers;
    await withBatch({ model }, async (write, batch) => {
      const before = write(TEXTS[1]!, 30), expected = before.tokens;
      assert.equal(await before.ended, "length");
      const { norm } = weights, { wq } = layer!;
      const broken = [write("broken", 30), write(TEXTS[1]!, 30)];
      if (part === "norm") weights.norm = norm.map(() => NaN); // no logits
      else layer!.wq = wq.subarray(1); // no call: the attention throws
      const expectedError = part === "norm" ? /computes NaN: its weights are damaged/ : /shape/;
      for (const { ended } of broken) assert.match(String(await ended), expectedError);
      assert.match(String(batch.failure), expectedError);
      [weights.norm, layer!.wq] = [norm, wq];
      const after = write(TEXTS[1]!, 30);
      assert.equal(await after.ended, "length");
      assert.deepEqual(after.tokens, expected);
      assert.equal(batch.failure, undefined);
    });
  });
}

Deno.test("llama: a text whose owner fails does not harm the others", () =>
  withBatch({}, async (write, batch) => {
    const other = write("other", 20);
    const reason = await new Promise((resolve) =>
      batch.submit({
        prompt: [1],
        tokens: 5,
        sampling: { temperature: 0, topP: 1 },
        random: new Random(1),
        stops: new Set(),
        onToken() {
          throw new Error("its owner");
        },
        onEnd: resolve,
      })
    );
    assert.match(String(reason), /its owner/);
    assert.equal(await other.ended, "length");
  }));

Deno.test("llama: a text for which the caches have no room at all is refused", () =>
  withBatch({}, async (write) => {
    assert.equal(await write("", 320).ended, "length");
    assert.throws(() => write("", 321), /Cannot take a text of 1 \+ 321 tokens/);
  }));
