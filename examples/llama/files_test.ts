/** Every kind of file gives the model that was written into it, and damaged ones are refused. */
import assert from "node:assert/strict";
import { createEngine } from "../../mod.ts";
import { Random } from "../byte_lm/random.ts";
import { type ByteSource, memorySource } from "./byte_source.ts";
import { Caches } from "./caches.ts";
import { readGguf } from "./gguf.ts";
import { readConfig } from "./hf_config.ts";
import { Llama } from "./llama.ts";
import { readLlama2c } from "./llama2c.ts";
import { strangerOf } from "./model_file.ts";
import { readSafetensors } from "./safetensors.ts";
import { ggufFile } from "./testing/gguf_file.ts";
import { llama2cFile } from "./testing/llama2c_file.ts";
import { safetensorsFile } from "./testing/safetensors_file.ts";
import { randomModel, TINY, tinyTokenizer } from "./testing/tiny_model.ts";
import { type Model, rotaryFrequencies } from "./weights.ts";

const TEXT = "the thing that they thought";

/** The logits behind a text. */
async function logitsOf(model: Model): Promise<Float32Array> {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const tokens = tinyTokenizer().encode(TEXT);
  using caches = new Caches(engine, model.shape, {
    sequences: 1,
    dtype: "f32",
    room: { pageSize: 4, pages: 10 },
  });
  return await new Llama(model, engine).forward(caches, {
    tokens: Int32Array.from(tokens),
    starts: Int32Array.of(0, tokens.length),
    sequences: Int32Array.of(0),
  });
}

/** Largest difference, as a share of the largest logit. */
function difference(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  const largest = Math.max(...a.map(Math.abs));
  return Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / largest;
}

for (const shared of [true, false]) {
  const own = shared ? "a shared classifier" : "its own classifier";
  const model = randomModel(TINY, 3, shared);

  for (const version of [0, 1] as const) {
    Deno.test(`llama: a llama2.c checkpoint of version ${version} with ${own}`, async () => {
      const read = await readLlama2c(memorySource("m.bin", llama2cFile(model, version)));
      assert.deepEqual(read, model);
    });
  }

  Deno.test(`llama: GGUF with ${own}`, async () => {
    const expected = await logitsOf(model);
    const { model: read, tokenizer } = await readGguf(memorySource("m.gguf", ggufFile(model)));
    assert.deepEqual(read.weights, model.weights);
    assert.deepEqual(read.shape, model.shape);
    assert.deepEqual(tokenizer?.encode(TEXT), tinyTokenizer().encode(TEXT));
    assert.ok(difference(await logitsOf(read), expected) < 1e-6);
    for (const [type, bound] of [["f16", 2e-3], ["q8_0", 0.05]] as const) {
      const { model: read } = await readGguf(memorySource("m.gguf", ggufFile(model, type)));
      const off = difference(await logitsOf(read), expected);
      assert.ok(off > 0 && off < bound, `${type}: ${off}`);
    }
  });

  Deno.test(`llama: safetensors with ${own}, heads in halves`, async () => {
    const expected = await logitsOf(model);
    for (const [dtype, bound] of [["F32", 2e-6], ["F16", 2e-3], ["BF16", 0.05]] as const) {
      const { bytes, config } = safetensorsFile(model, dtype);
      const read = await readSafetensors(memorySource("m.safetensors", bytes), config);
      const off = difference(await logitsOf(read), expected);
      assert.ok(off < bound, `${dtype}: ${off}`);
      assert.equal(dtype !== "F32", off > 1e-4, `${dtype}: ${off}`);
    }
  });
}

Deno.test("llama: GGUF that stretches its positions says so by divisors", async () => {
  const model = randomModel(), divisors = Float32Array.of(1, 1, 4, 8);
  const { rotary } = (await readGguf(memorySource("m", ggufFile(model, "f32", divisors)))).model;
  const expected = model.rotary.frequencies.map((f, pair) => f / divisors[pair]!);
  assert.deepEqual(rotary.frequencies, expected);
});

Deno.test("llama: kinds of positions in a config.json", () => {
  const config = JSON.parse(safetensorsFile(randomModel()).config),
    { rope_theta, ...rest } = config;
  const read = (fields: object) =>
    readConfig("m", JSON.stringify({ ...rest, ...fields })).rotary.frequencies;
  const plain = rotaryFrequencies(TINY.headDim, 10000); // 1, 0.1, 0.01, 0.001
  assert.deepEqual(read({ rope_theta }), plain);
  assert.deepEqual(read({ rope_parameters: { rope_theta, rope_type: "default" } }), plain);
  const linear = read({ rope_theta, rope_scaling: { type: "linear", factor: 4 } });
  assert.deepEqual(linear, plain.map((f) => f / 4));
  // Of a wave of 62.8 positions 2 fit into the old context: half way from 1 to 3.
  const llama3 = read({
    rope_theta,
    rope_scaling: {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 3,
      original_max_position_embeddings: 2 * 20 * Math.PI,
    },
  });
  [1, 0.1 * (0.5 + 0.5 / 8), 0.01 / 8, 0.001 / 8].forEach((f, pair) =>
    assert.ok(Math.abs(llama3[pair]! - f) < 1e-12)
  );
  assert.throws(() => read({ rope_scaling: { type: "yarn" } }), /positions of type "yarn"/);
  const wrong: [object, RegExp][] = [
    [{ rope_theta: "10000" }, /has rope_theta "10000", expected a number above 0/],
    [{ rope_scaling: { type: "linear" } }, /has factor undefined, expected/],
    [{ rope_scaling: { type: "linear", factor: 0 } }, /has factor 0, expected/],
    [{ rope_scaling: { type: "llama3", factor: 8 } }, /has low_freq_factor undefined, expected/],
    [{ rms_norm_eps: -1e-5 }, /has rms_norm_eps -0\.00001, expected a number above 0/],
  ];
  for (const [fields, message] of wrong) assert.throws(() => read(fields), message);
});

Deno.test("llama: files that are no model are called what they are", () => {
  const kind = (text: string) => strangerOf(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  assert.match(kind("PK\x03\x04stories15M/data.pkl")!, /zip archive, perhaps a PyTorch/);
  assert.match(kind("version https://git-lfs.github.com/spec/v1")!, /pointer of Git LFS/);
  assert.match(kind("<!DOCTYPE html>")!, /web page/);
  assert.equal(kind("GGUF\x03"), undefined);
});

/** The message of a failure. */
async function refusal(read: () => Promise<unknown>): Promise<string> {
  try {
    await read();
  } catch (error) {
    assert.ok(error instanceof Error);
    return error.message;
  }
  return "";
}

Deno.test("llama: llama2.c checkpoints that are cut, too long or lie about their sizes", async () => {
  const bytes = llama2cFile(randomModel());
  const read = (changed: Uint8Array) => () => readLlama2c(memorySource("m.bin", changed));
  const withSize = (at: number, value: number) => {
    const changed = bytes.slice();
    new DataView(changed.buffer).setInt32(4 * at, value, true);
    return read(changed);
  };
  assert.match(await refusal(read(bytes.subarray(0, bytes.length - 1))), /cut short/);
  assert.match(await refusal(read(bytes.subarray(0, 20))), /ends after 20 bytes/);
  const longer = new Uint8Array(bytes.length + 4);
  longer.set(bytes);
  assert.match(await refusal(read(longer)), /too long/);
  assert.match(await refusal(withSize(0, 64)), /Cannot read m\.bin: it holds .* needs /); // dim
  assert.match(await refusal(withSize(0, -32)), /dim is -32/);
  assert.match(await refusal(withSize(1, 0x7fffffff)), /hidden is 2147483647/);
  assert.match(await refusal(withSize(2, 0)), /layers is 0/);
  assert.match(await refusal(withSize(3, 0)), /headDim is Infinity|heads is 0/);
  assert.match(await refusal(withSize(3, 5)), /headDim is 6\.4/);
  assert.match(await refusal(withSize(4, 3)), /3 key heads cannot be shared by 4/);
  assert.match(await refusal(withSize(2, 2 ** 23)), /needs \d+: it is cut short/); // petabytes
  assert.match(await refusal(withSize(6, 129)), /cut short/); // a longer table of angles
  const versioned = llama2cFile(randomModel(), 1);
  versioned[4] = 2;
  assert.match(await refusal(read(versioned)), /version 2; export it in float32/);
});

Deno.test("llama: GGUF that is cut or lies about its sizes", async () => {
  const bytes = ggufFile(randomModel());
  const read = (changed: Uint8Array) => () => readGguf(memorySource("m.gguf", changed));
  assert.match(await refusal(read(bytes.subarray(0, bytes.length - 40))), /it ends after .* but /);
  assert.notEqual(await refusal(read(bytes.subarray(0, 300))), "");
  assert.match(await refusal(read(bytes.subarray(0, 40))), /Cannot read m\.gguf/);
  const many = bytes.slice();
  new DataView(many.buffer).setBigUint64(8, 2n ** 40n, true); // tensors
  assert.match(await refusal(read(many)), /Tensor count/);
  const other = replaced(bytes, "llama", "bloom");
  assert.match(await refusal(read(other)), /its architecture is bloom, expected llama/);
  const missing = replaced(bytes, "ffn_gate", "ffn_late");
  assert.match(await refusal(read(missing)), /it has no tensor blk\.0\.ffn_gate\.weight/);
});

Deno.test("llama: safetensors that are cut or lie about their sizes", async () => {
  const { bytes, config } = safetensorsFile(randomModel());
  const read = (changed: Uint8Array, its = config) => () =>
    readSafetensors(memorySource("m.safetensors", changed), its);
  assert.match(await refusal(read(bytes.subarray(0, bytes.length - 1))), /it ends after/);
  const long = bytes.slice();
  new DataView(long.buffer).setBigUint64(0, 2n ** 50n, true);
  assert.match(await refusal(read(long)), /header says it has 1125899906842624 bytes/);
  assert.match(await refusal(read(replaced(bytes, '"F32"', '"I32"'))), /stored as I32/);
  assert.match(await refusal(read(bytes, config.replace(":64", ":96"))), /the sizes of the model/);
  assert.match(await refusal(read(bytes, config.replace("llama", "gpt2"))), /expected "llama"/);
  assert.match(await refusal(read(bytes, "{")), /not JSON/);
});

Deno.test("llama: damage in a header is refused with a sentence, or does no harm", async () => {
  const model = randomModel(), random = new Random(11), { bytes, config } = safetensorsFile(model);
  const files = [
    { bytes: llama2cFile(model), header: 28, read: readLlama2c },
    { bytes: ggufFile(model), header: 9000, read: readGguf },
    { bytes, header: 2200, read: (source: ByteSource) => readSafetensors(source, config) },
  ];
  let refused = 0;
  for (let round = 0; round < 300; round++) {
    const { bytes, header, read } = files[round % 3]!, damaged = bytes.slice();
    for (let n = random.below(4); n >= 0; n--) damaged[random.below(header)] = random.below(256);
    const message = await refusal(() => read(memorySource("m", damaged)));
    if (message === "") continue;
    assert.match(message, /^Cannot read m[ :]/);
    refused++;
  }
  assert.ok(refused > 100, `${refused} of 300`);
});

/** The bytes with the first occurrence of a text replaced by another of its length. */
function replaced(bytes: Uint8Array<ArrayBuffer>, from: string, to: string): Uint8Array {
  const at = String.fromCharCode(...bytes.subarray(0, 20_000)).indexOf(from);
  assert.ok(at > 0 && from.length === to.length);
  const changed = bytes.slice();
  changed.set(new TextEncoder().encode(to), at);
  return changed;
}
