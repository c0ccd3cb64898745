/** A model in safetensors. */
import type { Model } from "../weights.ts";
import { bytesOf, joined } from "./bytes.ts";
import { namedArrays } from "./named_arrays.ts";

/** Safetensors in f32, f16 or bf16, heads in Hugging Face's order; and the config.json. */
export function safetensorsFile(
  model: Model,
  dtype: "F32" | "F16" | "BF16" = "F32",
): { bytes: Uint8Array<ArrayBuffer>; config: string } {
  const { shape } = model;
  const arrays = namedArrays(
    halves(model),
    ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight", "model.layers.N."],
    {
      attentionNorm: "input_layernorm",
      wq: "self_attn.q_proj",
      wk: "self_attn.k_proj",
      wv: "self_attn.v_proj",
      wo: "self_attn.o_proj",
      feedForwardNorm: "post_attention_layernorm",
      gate: "mlp.gate_proj",
      up: "mlp.up_proj",
      down: "mlp.down_proj",
    },
  );
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { name, shape, values } of arrays) {
    const bytes = dtype === "F32"
      ? bytesOf(values)
      : dtype === "F16"
      ? bytesOf(Float16Array.from(values))
      : bytesOf(Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16));
    header[name] = { dtype, shape, data_offsets: [at, at += bytes.length] };
    parts.push(bytes);
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  const config = {
    model_type: "llama",
    hidden_size: shape.dim,
    intermediate_size: shape.hidden,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    vocab_size: shape.vocabulary,
    max_position_embeddings: shape.context,
    rms_norm_eps: model.normEpsilon,
    rope_theta: 10000,
    tie_word_embeddings: model.weights.classifier === model.weights.embedding,
  };
  return { bytes: joined([length, json, ...parts]), config: JSON.stringify(config) };
}

/** The same model with the channels of q and k in two halves instead of pairs. */
function halves(model: Model): Model {
  const { headDim, dim } = model.shape;
  const reorder = (w: Float32Array): Float32Array => {
    const y = new Float32Array(w.length);
    for (let row = 0; row < w.length / dim; row++) {
      const head = row - row % headDim, i = row % headDim;
      const from = head + (i < headDim / 2 ? 2 * i : 2 * (i - headDim / 2) + 1);
      y.set(w.subarray(from * dim, (from + 1) * dim), row * dim);
    }
    return y;
  };
  const layers = model.weights.layers.map((layer) => {
    return { ...layer, wq: reorder(layer.wq), wk: reorder(layer.wk) };
  });
  return { ...model, weights: { ...model.weights, layers } };
}
