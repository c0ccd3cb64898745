/** The small trained model that lies beside some checkouts writes what the reference program writes. */
import assert from "node:assert/strict";
import { createEngine, type Engine } from "../../mod.ts";
import { openGpu } from "../../tests/backends.ts";
import { type CacheOptions, Caches, type CacheType } from "./caches.ts";
import { Llama } from "./llama.ts";
import { openModel } from "./model_file.ts";
import { largestAt } from "./sampler.ts";
import { decode, type Tokenizer } from "./tokenizer.ts";
import type { Model } from "./weights.ts";

const folder = new URL("../../../shared/data/stories260K/", import.meta.url);
const TOKENS = 120;
/** In smaller types at least so many tokens are the same, or the two likeliest are as near as that. */
const SAME = 60, NEAR = 0.25;
/** Software GPUs take a tenth of a second for a token: on them smaller types write only as many. */
const ON_GPU: Readonly<Record<CacheType, number>> = { f32: TOKENS, f16: SAME, bf16: 0, i8: SAME };

const ROOMS: Readonly<Record<string, CacheOptions["room"]>> = {
  paged: { pageSize: 16, pages: Math.ceil(TOKENS / 16) },
  contiguous: { capacity: TOKENS },
};

const there = isThere();

Deno.test({
  name: there
    ? "llama: stories260K, greedily, is the reference's text token for token"
    : `llama: stories260K: not run, no folder ${folder.pathname}`,
  ignore: !there,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const { model, tokenizer } = await openModel(new URL("stories260K.bin", folder).pathname);
    const golden = await Deno.readTextFile(new URL("golden_greedy.txt", folder));
    const text = golden.slice(0, golden.indexOf("achieved tok/s")); // what follows is a statistic
    for (const engine of await engines()) {
      using _ = engine;
      const { target } = engine;
      const name = "threads" in target ? `wasm, ${target.threads} thread(s)` : "webgpu";
      let first: number[] | undefined;
      for (const [kind, room] of Object.entries(ROOMS)) {
        for (const dtype of ["f32", "f16", "bf16", "i8"] as const) {
          const gpu = engine.backend === "webgpu", count = gpu ? ON_GPU[dtype] : TOKENS;
          if (count === 0 || gpu && count < TOKENS && kind !== "paged") continue;
          await t.step(`${name}, ${kind}, ${dtype}, ${count} tokens`, async () => {
            const written = await greedy(model, engine, count, { sequences: 1, dtype, room });
            if (dtype === "f32") {
              first ??= written.tokens;
              assert.equal(decode(tokenizer, [1, ...written.tokens]), text);
              assert.deepEqual(written.tokens, first);
              assert.equal(written.tokens.length, TOKENS);
            } else compare(written, first!, tokenizer, `${name}, ${kind}, ${dtype}`);
          });
        }
      }
    }
  },
});

Deno.test({
  name: `llama: a text begun on one engine goes on on another${there ? "" : ": not run either"}`,
  ignore: !there,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const { model } = await openModel(new URL("stories260K.bin", folder).pathname);
    using one = await createEngine({ backend: "wasm", threads: 1 });
    using two = await createEngine({ backend: "wasm", threads: 2 });
    for (const dtype of ["f32", "i8"] as const) {
      const options = { sequences: 1, dtype };
      const whole = await greedy(model, one, TOKENS, { ...options, room: ROOMS["paged"]! });
      using from = new Caches(one, model.shape, { ...options, room: ROOMS["paged"]! });
      using to = new Caches(two, model.shape, { ...options, room: ROOMS["contiguous"]! });
      const { tokens } = await goOn(model, one, from, [], 50);
      for (const [layer, cache] of from.layers.entries()) {
        await to.layers[layer]!.import(structuredClone(await cache.export(0)));
      }
      assert.deepEqual((await goOn(model, two, to, tokens, TOKENS)).tokens, whole.tokens, dtype);
    }
  },
});

interface Greedy {
  tokens: number[];
  /** By how much the likeliest token was ahead of the second. */
  margins: number[];
}

/** The likeliest tokens from the beginning of a text on. */
async function greedy(
  model: Model,
  engine: Engine,
  count: number,
  options: CacheOptions,
): Promise<Greedy> {
  using caches = new Caches(engine, model.shape, options);
  return await goOn(model, engine, caches, [], count);
}

/** The likeliest tokens behind those that the caches hold, all but the last of them, up to so many in all. */
async function goOn(
  model: Model,
  engine: Engine,
  caches: Caches,
  begun: number[],
  count: number,
): Promise<Greedy> {
  const llama = new Llama(model, engine);
  const tokens = [...begun], margins: number[] = [];
  while (tokens.length < count) {
    const logits = await llama.forward(caches, {
      tokens: Int32Array.of(tokens.at(-1) ?? 1),
      starts: Int32Array.of(0, 1),
      sequences: Int32Array.of(0),
    });
    const token = largestAt(logits), ahead = logits[token]!;
    logits[token] = -Infinity;
    tokens.push(token);
    margins.push(ahead - Math.max(...logits));
  }
  return { tokens, margins };
}

/** Looks where a smaller type first writes something else, and how close that was. */
function compare(
  { tokens, margins }: Greedy,
  expected: number[],
  tokenizer: Tokenizer,
  name: string,
): void {
  const at = tokens.findIndex((token, i) => token !== expected[i]);
  if (at < 0) return console.log(`${name}: all ${tokens.length} tokens are those of f32`);
  const words = [tokens, expected].map((all) => JSON.stringify(decode(tokenizer, [all[at]!])));
  console.log(
    `${name}: ${at} tokens are those of f32, then ${words[0]} instead of ${words[1]}, ` +
      `ahead by ${margins[at]!.toFixed(3)}`,
  );
  assert.ok(at >= SAME || margins[at]! < NEAR, `${at} tokens, margin ${margins[at]}`);
}

/** The CPU with one thread and two, and a GPU where there is one. */
async function engines(): Promise<Engine[]> {
  const wasm = [1, 2].map((threads) => createEngine({ backend: "wasm", threads }));
  const gpu = await openGpu();
  if ("absent" in gpu) console.log(`not run on webgpu: ${gpu.absent}`);
  return [...await Promise.all(wasm), ..."absent" in gpu ? [] : [gpu]];
}

/** Whether the model may be read. */
function isThere(): boolean {
  if (Deno.permissions.querySync({ name: "read", path: folder }).state !== "granted") return false;
  try {
    return Deno.statSync(new URL("golden_greedy.txt", folder)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
