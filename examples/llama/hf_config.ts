/** What a config.json of Hugging Face says of a model of Llama architecture. */
import { shown } from "./byte_source.ts";
import type { ModelDescription } from "./stored_tensors.ts";
import { checkShape, rotaryFrequencies } from "./weights.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A description, and whether the classifier is the embedding. */
export function readConfig(name: string, text: string): ModelDescription & { tied: boolean } {
  const config = fieldsOf(name, text);
  const fail = (what: string): never => {
    throw new RangeError(`Cannot read ${name}: its config.json ${what}`);
  };
  if (config["model_type"] !== "llama") {
    fail(`is of model_type ${shown(JSON.stringify(config["model_type"]))}, expected "llama"`);
  }
  for (const bias of ["attention_bias", "mlp_bias"]) {
    if (config[bias]) fail(`has ${bias}, which this reader does not know`);
  }
  const { hidden_act: activation = "silu" } = config;
  if (activation !== "silu") {
    fail(`has hidden_act ${shown(JSON.stringify(activation))}, expected "silu"`);
  }
  const number = (field: string, fallback?: number): number => {
    const value = config[field] ?? fallback;
    return typeof value === "number" ? value : fail(`lacks the number ${field}`);
  };
  const positive = (field: string, value: unknown): number =>
    typeof value === "number" && value > 0 && value < Infinity
      ? value
      : fail(`has ${field} ${shown(JSON.stringify(value))}, expected a number above 0`);
  const dim = number("hidden_size"), heads = number("num_attention_heads");
  const headDim = number("head_dim", dim / heads);
  const shape = {
    layers: number("num_hidden_layers"),
    heads,
    kvHeads: number("num_key_value_heads", heads),
    headDim,
    dim,
    hidden: number("intermediate_size"),
    vocabulary: number("vocab_size"),
    context: number("max_position_embeddings"),
  };
  checkShape(name, shape); // frequencies have the size of a head
  return {
    shape,
    rotary: { interleaved: false, frequencies: frequenciesOf(config, headDim, positive, fail) },
    normEpsilon: positive("rms_norm_eps", config["rms_norm_eps"] ?? 1e-6),
    tied: config["tie_word_embeddings"] === true,
  };
}

/** In older files base and scaling are two fields, in newer ones a field holds both. */
function frequenciesOf(
  config: Fields,
  headDim: number,
  positive: (field: string, value: unknown) => number,
  fail: (what: string) => never,
): Float64Array {
  const rope = Object(config["rope_parameters"] ?? config["rope_scaling"]) as Fields;
  const of = (field: string) => positive(field, rope[field]);
  const base = positive("rope_theta", rope["rope_theta"] ?? config["rope_theta"] ?? 10000);
  const frequencies = rotaryFrequencies(headDim, base);
  const type = rope["rope_type"] ?? rope["type"] ?? "default";
  if (type === "default") return frequencies;
  if (type === "linear") return frequencies.map((f) => f / of("factor"));
  if (type === "llama3") return frequencies.map((f) => stretched(f, of));
  return fail(
    `has positions of type ${shown(JSON.stringify(type))}; default, linear and llama3 are known`,
  );
}

/** Llama 3.1's scaling: waves longer than the old context are stretched, short ones are not. */
function stretched(frequency: number, of: (field: string) => number): number {
  const [factor, low, high] = ["factor", "low_freq_factor", "high_freq_factor"]
    .map(of) as [number, number, number];
  const turns = of("original_max_position_embeddings") * frequency / (2 * Math.PI);
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  return frequency * (kept + (1 - kept) / factor);
}

function fieldsOf(name: string, text: string): Fields {
  try {
    return Object(JSON.parse(text)) as Fields;
  } catch {
    throw new RangeError(`Cannot read ${name}: the config.json beside it is not JSON`);
  }
}
