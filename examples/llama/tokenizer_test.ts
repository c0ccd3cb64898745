import assert from "node:assert/strict";
import { Random } from "../byte_lm/random.ts";
import { memorySource } from "./byte_source.ts";
import { joinByScore } from "./join_by_score.ts";
import { llama2cTokenizerFile } from "./testing/llama2c_file.ts";
import { TINY_PIECES, tinyTokenizer } from "./testing/tiny_model.ts";
import { decode } from "./tokenizer.ts";
import { readTokenizer } from "./tokenizer_file.ts";

const read = (bytes: Uint8Array, vocabulary = TINY_PIECES.length) =>
  readTokenizer(memorySource("t.bin", bytes), vocabulary);

Deno.test("llama: text survives its tokens, also characters of several bytes", async () => {
  const tokenizer = await read(llama2cTokenizerFile());
  for (const text of ["", "the", " the", "a  t", "naïve ☃ 🦙\n", "\0\u{10ffff}"]) {
    const tokens = tokenizer.encode(text);
    assert.equal(tokens[0], 1);
    assert.equal(decode(tokenizer, tokens), text);
    assert.deepEqual(tokens, tinyTokenizer().encode(text));
  }
  assert.deepEqual(tokenizer.encode("th").map((token) => TINY_PIECES[token]), ["<s>", " t", "h"]);
});

Deno.test("llama: a character that is not complete waits for its last byte", () => {
  const tokenizer = tinyTokenizer(), decoder = tokenizer.decoder();
  const pieces = tokenizer.encode("☃!").map((token) => decoder.push(token));
  assert.deepEqual(pieces, ["", "", "", "", "☃", "!"]);
  const cut = tokenizer.decoder();
  for (const token of tokenizer.encode("☃").slice(0, -1)) assert.equal(cut.push(token), "");
  assert.equal(cut.end(), "\ufffd");
});

Deno.test("llama: joining by score is that of looking through all pairs each time", () => {
  const random = new Random(5);
  for (let round = 0; round < 50; round++) {
    // Every pair of tokens below 40 makes a new one, or none, with few different scores.
    const table = new Map<number, { token: number; score: number }>();
    const join = (a: number, b: number) => {
      const key = a * 1000 + b;
      if (!table.has(key)) {
        const makes = a < 40 && b < 40 && random.next() < 0.4;
        const token = makes ? random.below(60) : -1;
        table.set(key, { token, score: random.below(5) });
      }
      const made = table.get(key)!;
      return made.token < 0 ? undefined : made;
    };
    const symbols = Array.from({ length: 60 }, () => random.below(6));
    assert.deepEqual(joinByScore(symbols, join), joinSlowly(symbols, join));
  }
});

/** The method itself, as a sentence says it. */
function joinSlowly(
  symbols: number[],
  join: (a: number, b: number) => { token: number; score: number } | undefined,
): number[] {
  const tokens = symbols.slice();
  for (;;) {
    let best = -1, score = -Infinity;
    for (let i = 0; i + 1 < tokens.length; i++) {
      const made = join(tokens[i]!, tokens[i + 1]!);
      if (made && made.score > score) [best, score] = [i, made.score];
    }
    if (best < 0) return tokens;
    tokens.splice(best, 2, join(tokens[best]!, tokens[best + 1]!)!.token);
  }
}

Deno.test("llama: tokenizer files that are cut, of another model or something else", async () => {
  const bytes = llama2cTokenizerFile();
  const refused = (changed: Uint8Array, pattern: RegExp, vocabulary?: number) =>
    assert.rejects(read(changed, vocabulary), (error: Error) => pattern.test(error.message));
  await refused(bytes.subarray(0, bytes.length - 1), /it ends in token/);
  await refused(bytes.subarray(0, 2), /it holds 2 bytes/);
  await refused(bytes, /bytes are left: it is of another model/, TINY_PIECES.length - 1);
  await refused(bytes, /it ends in token/, TINY_PIECES.length + 1);
  const long = bytes.slice();
  new DataView(long.buffer).setUint32(8, 0xffffffff, true);
  await refused(long, /token 0 has 4294967295 bytes, the longest/);
  await refused(new TextEncoder().encode('{ "version": '), /as a tokenizer\.json/);
});

Deno.test("llama: a tokenizer.json of Hugging Face", async () => {
  const pieces = [..."abcdefgh", "Ġ", "ab", "Ġab", "<|begin|>", "<|end_of_text|>"];
  const mark = (content: string) => ({
    ...{ id: pieces.indexOf(content), content, special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
  });
  const file = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [mark("<|begin|>"), mark("<|end_of_text|>")],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|begin|>", type_id: 0 } }, {
        Sequence: { id: "A", type_id: 0 },
      }],
      pair: [],
      special_tokens: { "<|begin|>": { id: "<|begin|>", ids: [11], tokens: ["<|begin|>"] } },
    },
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(pieces.map((piece, i) => [piece, i])),
      merges: ["a b", "Ġ ab"],
    },
  };
  const tokenizer = await read(new TextEncoder().encode(JSON.stringify(file)), 20);
  assert.deepEqual(tokenizer.encode("ab abc"), [11, 9, 10, 2]);
  assert.deepEqual([...tokenizer.stops], [12]);
  const decoder = tokenizer.decoder();
  assert.deepEqual([11, 9, 10, 2].map((token) => decoder.push(token)), ["", "ab", " ab", "c"]);
});
