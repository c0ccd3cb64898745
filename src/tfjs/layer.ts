// Multi-head attention as a layer of TensorFlow.js.
import { Complaint, show } from "../tensor/errors.ts";
import { isTensor } from "./inputs.ts";
import {
  checkNames,
  type LayerSettings,
  type MultiHeadAttentionArgs,
  parseArgs,
  parseWeights,
  type WeightSettings,
} from "./layer_args.ts";
import {
  CALL_NAMES,
  checkFlags,
  hiddenOf,
  listInputs,
  type MultiHeadAttentionCall,
  refuseKeywords,
  refuseScores,
} from "./layer_inputs.ts";
import type { FlashAttentionOptions } from "./options.ts";
import type { TfTensor } from "./tensorflow.ts";
import type { TfLayer, TfOps, TfShape, TfWeight } from "./tf_layers.ts";

type Op = (q: TfTensor, k: TfTensor, v: TfTensor, options: FlashAttentionOptions) => TfTensor;

const complaint = new Complaint("MultiHeadAttention");

/** A projection: its kernel, and perhaps a bias. */
interface Projection {
  readonly kernel: TfWeight;
  readonly bias: TfWeight | undefined;
}

/** The projections of a layer. */
type Projections = Readonly<Record<"query" | "key" | "value" | "output", Projection>>;

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** Kernels and biases in Keras' shapes and order: [features, heads, dim], and [heads, dim, features] of the output. */
function makeProjections(
  layer: TfLayer,
  settings: LayerSettings,
  weights: WeightSettings,
  features: readonly [query: number, value: number, key: number],
): Projections {
  const { numHeads, numKeyValueHeads, keyDim, valueDim, useBias } = settings;
  const [ofQuery, ofValue, ofKey] = features;
  const make = (name: string, kernel: readonly number[], bias: readonly number[]): Projection => ({
    kernel: layer.addWeight(
      ...[`${name}/kernel`, kernel, "float32", weights.kernelInitializer] as const,
      ...[weights.kernelRegularizer, true, weights.kernelConstraint] as const,
    ),
    bias: useBias
      ? layer.addWeight(
        ...[`${name}/bias`, bias, "float32", weights.biasInitializer] as const,
        ...[weights.biasRegularizer, true, weights.biasConstraint] as const,
      )
      : undefined,
  });
  const output = settings.outputShape ?? [ofQuery];
  const heads = [numHeads, keyDim], keys = [numKeyValueHeads, keyDim];
  const values = [numKeyValueHeads, valueDim];
  return {
    query: make("query", [ofQuery, ...heads], heads),
    key: make("key", [ofKey, ...keys], keys),
    value: make("value", [ofValue, ...values], values),
    output: make("attention_output", [numHeads, valueDim, ...output], output),
  };
}

/** x [batch, length, ...] times a kernel, whose first `contracted` axes are the last of x. */
function project(
  ops: TfOps,
  x: TfTensor,
  { kernel, bias }: Projection,
  contracted: number,
): TfTensor {
  const weight = kernel.read(), [batch, length] = x.shape as [number, number];
  const inner = product(weight.shape.slice(0, contracted)), made = weight.shape.slice(contracted);
  const rows = ops.reshape(x, [batch * length, inner]);
  const y = ops.matMul(rows, ops.reshape(weight, [inner, product(made)]));
  const shaped = ops.reshape(y, [batch, length, ...made]);
  return bias ? ops.add(shaped, bias.read()) : shaped;
}

/** Throws unless an input is [batch, length, features], features as its kernel was made for. */
function checkInput(name: "query" | "value" | "key", input: unknown, { kernel }: Projection): void {
  if (!isTensor(input)) throw complaint.type(`${name} is ${show(input)} but must be a tf.Tensor`);
  const [features] = kernel.read().shape, { shape } = input;
  if (shape.length === 3 && shape[2] === features) return;
  throw complaint.range(
    `${name} has shape ${show(shape)} but must be [batch, length, ${features}]`,
  );
}

/** The layer computed: projections, attention, projection. */
function run(
  ops: TfOps,
  attention: Op,
  projections: Projections,
  settings: LayerSettings,
  inputs: readonly TfTensor[],
  call: MultiHeadAttentionCall,
  seed: number,
): TfTensor {
  const [x, values = x, keys = values, attentionMask] = inputs as [TfTensor, ...TfTensor[]];
  const given = { query: x, value: values, key: keys }, { output } = projections;
  const [q, k, v] = (["query", "key", "value"] as const).map((name) => {
    checkInput(name, given[name], projections[name]);
    return project(ops, given[name], projections[name], 1);
  });
  const hidden = hiddenOf(ops, [x, values, keys], attentionMask, call, complaint);
  const { dropout: probability, rotary } = settings;
  const out = attention(q!, k!, v!, {
    ...(call.useCausalMask ?? settings.useCausalMask) && { causal: "top-left" },
    ...hidden.mask && { mask: hidden.mask },
    ...rotary && { rotary: rotary === true ? {} : rotary },
    ...call.training && probability > 0 && { dropout: { probability, seed } },
  });
  if (!hidden.rows) return project(ops, out, output, 2);
  const [batch, length] = x.shape as [number, number];
  const rows = ops.reshape(ops.cast(hidden.rows, "float32"), [batch, length, 1, 1]);
  return project(ops, ops.mul(out, rows), output, 2);
}

/** One shape or a list of them as a list. */
const shapesOf = (shape: TfShape | readonly TfShape[]): readonly TfShape[] =>
  Array.isArray(shape[0]) ? shape as readonly TfShape[] : [shape as TfShape];

/** The last axis of each input, those that are missing as the one before. */
function featuresOf(shape: TfShape | readonly TfShape[]): [number, number, number] {
  const [query, value = query, key = value] = shapesOf(shape);
  return [query!, value!, key!].map((one) => {
    const features = one[2];
    if (one.length === 3 && typeof features === "number") return features;
    throw complaint.range(
      `an input has shape ${show(one)} but must be [batch, length, features], features known`,
    );
  }) as [number, number, number];
}

/** A seed for a layer that was given none. */
const anySeed = () => Math.floor(Math.random() * 2 ** 31);

/** The class of the layer, on the `Layer` of an instance of TensorFlow.js. */
export function layerClass(
  ops: TfOps,
  attention: Op,
): new (args: MultiHeadAttentionArgs) => TfLayer {
  class MultiHeadAttention extends ops.layers.Layer {
    /** Models are saved with it: not the name of TensorFlow.js' own, whose arguments are others. */
    static readonly className = "FlashMultiHeadAttention";
    readonly #settings: LayerSettings;
    readonly #weights: ReturnType<typeof parseWeights>;
    readonly #seed: number;
    #projections: Projections | undefined;
    /** Training calls so far. */
    #calls = 0;

    constructor(args: MultiHeadAttentionArgs) {
      const settings = parseArgs(args);
      super(args);
      this.supportsMasking = true;
      this.#settings = settings;
      this.#weights = parseWeights(ops, args);
      this.#seed = settings.seed ?? anySeed();
    }

    build(shape: TfShape | readonly TfShape[]): void {
      const { settings } = this.#weights;
      this.#projections = makeProjections(this, this.#settings, settings, featuresOf(shape));
      this.built = true;
    }

    computeOutputShape(shape: TfShape | readonly TfShape[]): TfShape {
      const [query] = shapesOf(shape), { outputShape } = this.#settings;
      return outputShape ? [...query!.slice(0, -1), ...outputShape] : query!;
    }

    computeMask(_inputs: unknown, mask?: unknown): unknown {
      return (Array.isArray(mask) ? mask[0] : mask) ?? null;
    }

    override apply(inputs: unknown, given?: MultiHeadAttentionCall | null): unknown {
      const kwargs = given ?? {};
      refuseScores(kwargs);
      checkNames("the call", kwargs, CALL_NAMES);
      checkFlags(kwargs, complaint);
      const list = listInputs(inputs, kwargs, complaint);
      if (!isTensor(list[0])) refuseKeywords(kwargs, complaint); // a tensor that is yet to come
      const { value: _v, key: _k, attentionMask: _m, ...rest } = kwargs;
      return super.apply(list.length === 1 ? list[0] : list, rest);
    }

    call(inputs: TfTensor | readonly TfTensor[], kwargs: MultiHeadAttentionCall = {}): TfTensor {
      const list = Array.isArray(inputs) ? inputs : [inputs];
      const seed = this.#seed + (kwargs.training ? this.#calls++ : 0);
      const projections = this.#projections!, settings = this.#settings;
      return ops.tidy(() => run(ops, attention, projections, settings, list, kwargs, seed));
    }

    override getConfig(): Record<string, unknown> {
      return { ...super.getConfig(), ...this.#settings, ...this.#weights.config() };
    }
  }
  return MultiHeadAttention;
}
