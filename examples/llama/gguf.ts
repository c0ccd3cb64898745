/**
 * Reads a model of Llama architecture in GGUF. Metadata and places of tensors are read by
 * @huggingface/gguf, which is fetched from npm when the first such file is opened, and not before.
 */
import type { GGUFParseOutput } from "@huggingface/gguf";
import { type ByteSource, readBytes, shown } from "./byte_source.ts";
import { type Stored, storedBytes, toFloats } from "./numbers.ts";
import { assembleModel, type ModelDescription, type TensorPlace } from "./stored_tensors.ts";
import { ScoreTokenizer } from "./score_tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { checkShape, type Model, rotaryFrequencies } from "./weights.ts";

/** Not a literal, so that running another model fetches nothing. */
const READER: string = "@huggingface/gguf";

/** What llama.cpp calls the arrays of a model. */
const NAMES = {
  embedding: "token_embd.weight",
  norm: "output_norm.weight",
  classifier: "output.weight",
  layer: (layer: number, name: string) => `blk.${layer}.${name}.weight`,
  attentionNorm: "attn_norm",
  wq: "attn_q",
  wk: "attn_k",
  wv: "attn_v",
  wo: "attn_output",
  feedForwardNorm: "ffn_norm",
  gate: "ffn_gate",
  up: "ffn_up",
  down: "ffn_down",
};
/** Divisors of the rotary frequencies, where a model was stretched to a longer context. */
const ROTARY_FACTORS = "rope_freqs.weight";
/** Numbers of types in ggml. */
const TYPES: Readonly<Record<number, Stored>> = { 0: "f32", 1: "f16", 8: "q8_0", 30: "bf16" };
/** Kinds of tokens in ggml. */
const NORMAL = 1, BYTE = 6;

/** A model, and its tokenizer where the file holds one of the kind that is known here. */
export async function readGguf(
  source: ByteSource,
): Promise<{ model: Model; tokenizer: Tokenizer | undefined }> {
  const parsed = await parse(source);
  const metadata = new Metadata(source.name, parsed.metadata);
  const tensors = placesOf(source, parsed);
  const described = describe(metadata);
  const factors = await tensors.get(ROTARY_FACTORS)?.read();
  if (factors) {
    const { rotary } = described;
    rotary.frequencies = rotary.frequencies.map((f, pair) => f / (factors[pair] ?? 1));
  }
  const tied = !tensors.has(NAMES.classifier);
  return {
    model: await assembleModel(source.name, described, NAMES, tied, tensors),
    tokenizer: tokenizerOf(metadata),
  };
}

async function parse(source: ByteSource): Promise<GGUFParseOutput> {
  const { gguf } = await import(READER).catch((error) => {
    throw new Error(`Cannot read ${source.name}: npm:${READER} cannot be loaded: ${error.message}`);
  });
  try {
    // The reader asks for ranges of a remote file; they are answered from where ours is.
    return await gguf("https://localhost/model.gguf", { fetch: answerRanges(source) });
  } catch (error) {
    throw new RangeError(
      `Cannot read ${source.name} as GGUF: ${
        shown(error instanceof Error ? error.message : error)
      }`,
    );
  }
}

function answerRanges(source: ByteSource): typeof fetch {
  return async (_url, options) => {
    const range = new Headers(options?.headers).get("range") ?? "";
    const [from = 0, to = 0] = range.match(/\d+/g)?.map(Number) ?? [];
    const start = Math.min(from, source.size), end = Math.min(to + 1, source.size);
    return new Response(await readBytes(source, start, end - start), {
      headers: { "content-range": `bytes ${from}-${to}/${source.size}` },
    });
  };
}

/** Fields of the file, with a sentence where one is missing. */
class Metadata {
  readonly name: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(name: string, fields: object) {
    this.name = name;
    this.#fields = fields as Record<string, unknown>;
  }

  get(field: string): unknown {
    return this.#fields[field];
  }

  number(field: string, fallback?: number): number {
    const value = this.#fields[field] ?? fallback;
    if (typeof value === "number" || typeof value === "bigint") return Number(value);
    throw new RangeError(`Cannot read ${this.name}: it lacks the number ${field}`);
  }

  /** A number above 0: what is divided by, or what a power is taken of. */
  positive(field: string, fallback?: number): number {
    const value = this.number(field, fallback);
    if (value > 0 && value < Infinity) return value;
    throw new RangeError(
      `Cannot read ${this.name}: ${field} is ${value}, expected a number above 0`,
    );
  }
}

function describe(metadata: Metadata): ModelDescription {
  const fail = (what: string): never => {
    throw new RangeError(`Cannot read ${metadata.name}: ${what}`);
  };
  const architecture = metadata.get("general.architecture");
  if (architecture !== "llama") fail(`its architecture is ${shown(architecture)}, expected llama`);
  if (metadata.number("llama.expert_count", 0) > 0) fail("it is a mixture of experts");
  const dim = metadata.number("llama.embedding_length");
  const heads = metadata.number("llama.attention.head_count");
  const headDim = metadata.number("llama.attention.key_length", dim / heads);
  for (const field of ["llama.rope.dimension_count", "llama.attention.value_length"]) {
    if (metadata.number(field, headDim) !== headDim) fail(`${field} differs from ${headDim}`);
  }
  const scaling = metadata.get("llama.rope.scaling.type") ?? "none";
  if (scaling !== "none" && scaling !== "linear") {
    fail(`its positions are scaled by ${shown(scaling)}`);
  }
  const stretch = scaling === "linear" ? metadata.positive("llama.rope.scaling.factor") : 1;
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const base = metadata.positive("llama.rope.freq_base", 10000);
  const shape = {
    layers: metadata.number("llama.block_count"),
    heads,
    kvHeads: metadata.number("llama.attention.head_count_kv", heads),
    headDim,
    dim,
    hidden: metadata.number("llama.feed_forward_length"),
    vocabulary: Array.isArray(tokens) ? tokens.length : metadata.number("llama.vocab_size"),
    context: metadata.number("llama.context_length"),
  };
  checkShape(metadata.name, shape); // frequencies have the size of a head
  return {
    shape,
    rotary: {
      interleaved: true,
      frequencies: rotaryFrequencies(headDim, base).map((f) => f / stretch),
    },
    normEpsilon: metadata.positive("llama.attention.layer_norm_rms_epsilon"),
  };
}

function placesOf(source: ByteSource, parsed: GGUFParseOutput): Map<string, TensorPlace> {
  if (!parsed.littleEndian) {
    throw new RangeError(`Cannot read ${source.name}: it was written for a big-endian machine`);
  }
  return new Map(parsed.tensorInfos.map(({ name, shape, dtype, offset }) => {
    const type = TYPES[dtype], sizes = shape.map(Number).reverse(); // the fastest axis comes first
    const count = sizes.reduce((product, n) => product * n, 1);
    const start = Number(parsed.tensorDataOffset + offset);
    const bytes = type ? storedBytes(type, count) : 0;
    if (start + bytes > source.size) {
      throw new RangeError(
        `Cannot read ${source.name}: it ends after ${source.size} bytes, ` +
          `but ${shown(name)} ends at ${start + bytes}`,
      );
    }
    const read = async () => toFloats(type!, await readBytes(source, start, bytes), count);
    return [name, { shape: sizes, type: type ?? `ggml type ${dtype}`, read }];
  }));
}

/** Tokenizers of SentencePiece are in the file whole; others need more than their list of tokens. */
function tokenizerOf(metadata: Metadata): Tokenizer | undefined {
  if (metadata.get("tokenizer.ggml.model") !== "llama") return undefined;
  const list = (field: string): unknown[] => {
    const value = metadata.get(`tokenizer.ggml.${field}`);
    return Array.isArray(value) ? value : [];
  };
  const kinds = list("token_type"), scores = list("scores").map(Number);
  const encoder = new TextEncoder();
  return new ScoreTokenizer({
    pieces: list("tokens").map((token) => encoder.encode(String(token).replaceAll("▁", " "))),
    scores: Float32Array.from(scores),
    isText: (token) => [NORMAL, BYTE].includes(Number(kinds[token] ?? NORMAL)),
    begin: metadata.get("tokenizer.ggml.add_bos_token") === false
      ? undefined
      : metadata.number("tokenizer.ggml.bos_token_id", 1),
    stops: [metadata.number("tokenizer.ggml.eos_token_id", 2)],
    prefixSpace: metadata.get("tokenizer.ggml.add_space_prefix") !== false,
  });
}
