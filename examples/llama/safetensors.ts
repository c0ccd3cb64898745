/**
 * Reads a model in safetensors (https://github.com/huggingface/safetensors): a length, that many
 * bytes of JSON with the places of all tensors, the tensors. The sizes of the model are those of the
 * config.json beside it.
 */
import { type ByteSource, readBytes, shown } from "./byte_source.ts";
import { readConfig } from "./hf_config.ts";
import { type Stored, storedBytes, toFloats } from "./numbers.ts";
import type { StoredTensors, TensorPlace } from "./stored_tensors.ts";
import { assembleModel } from "./stored_tensors.ts";
import type { Model } from "./weights.ts";

/** What Hugging Face calls the arrays of a model. */
const NAMES = {
  embedding: "model.embed_tokens.weight",
  norm: "model.norm.weight",
  classifier: "lm_head.weight",
  layer: (layer: number, name: string) => `model.layers.${layer}.${name}.weight`,
  attentionNorm: "input_layernorm",
  wq: "self_attn.q_proj",
  wk: "self_attn.k_proj",
  wv: "self_attn.v_proj",
  wo: "self_attn.o_proj",
  feedForwardNorm: "post_attention_layernorm",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
};

const TYPES: Readonly<Record<string, Stored>> = { F32: "f32", F16: "f16", BF16: "bf16" };
/** The format's own limit of the JSON. */
const LONGEST_HEADER = 100_000_000;

/** Whether these first bytes are those of a file in safetensors. */
export function looksLikeSafetensors(start: Uint8Array): boolean {
  return start.length > 8 && start[8] === 0x7b && start[5] === 0 && start[6] === 0 &&
    start[7] === 0;
}

/** Reads a model; `config` is the text of its config.json. */
export async function readSafetensors(source: ByteSource, config: string): Promise<Model> {
  const { tied, ...described } = readConfig(source.name, config);
  return await assembleModel(source.name, described, NAMES, tied, await readPlaces(source));
}

async function readPlaces(source: ByteSource): Promise<StoredTensors> {
  const fail = (what: string): never => {
    throw new RangeError(`Cannot read ${source.name}: ${what}`);
  };
  const length = Number(
    new DataView((await readBytes(source, 0, 8)).buffer).getBigUint64(0, true),
  );
  if (length > LONGEST_HEADER) fail(`its header says it has ${length} bytes`);
  const header = parse(new TextDecoder().decode(await readBytes(source, 8, length)));
  if (header === undefined) return fail("its header is not JSON");
  const start = 8 + length, places = new Map<string, TensorPlace>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: offsets } = Object(entry) as Record<string, unknown>;
    if (!isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
      return fail(`its entry of ${shown(name)} is not a tensor`);
    }
    const count = shape.reduce((product, n) => product * n, 1);
    const kind = String(dtype), type = Object.hasOwn(TYPES, kind) ? TYPES[kind] : undefined;
    const bytes = offsets[1]! - offsets[0]!;
    if (type && storedBytes(type, count) !== bytes) {
      fail(`${shown(name)} of ${shown(shape)} in ${type} says it has ${bytes} bytes`);
    }
    if (start + offsets[1]! > source.size) {
      fail(`it ends after ${source.size} bytes, but ${shown(name)} ends at ${start + offsets[1]!}`);
    }
    places.set(name, {
      shape,
      type: type ?? kind,
      read: async () => toFloats(type!, await readBytes(source, start + offsets[0]!, bytes), count),
    });
  }
  return places;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
