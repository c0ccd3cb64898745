/**
 * The ops beside attention, on rows `[rows, channels]`, with gradients written out: those of TensorFlow.js use products with
 * transpose flags, which its WASM backend computes many times slower, and free what they make only after the whole pass.
 */
import * as tf from "@tensorflow/tfjs";

interface Definition {
  /** The result, and what the gradient needs of the call. */
  forward: (...inputs: tf.Tensor[]) => { value: tf.Tensor; saved: tf.Tensor[] };
  /** A gradient for each input. */
  backward: (dOut: tf.Tensor, ...saved: tf.Tensor[]) => tf.Tensor[];
}

/** An op with a gradient of its own; what either makes on the way is freed at once. */
export function op({ forward, backward }: Definition): (...inputs: tf.Tensor[]) => tf.Tensor {
  return tf.customGrad((...given) => {
    const save = given.at(-1) as unknown as (tensors: tf.Tensor[]) => void;
    const { value, saved } = forward(...given.slice(0, -1) as tf.Tensor[]);
    save(saved);
    return {
      value,
      gradFunc: (dOut: tf.Tensor, saved: tf.Tensor[]) => tf.tidy(() => backward(dOut, ...saved)),
    };
  });
}

/** `x weight + bias`. */
export const linear: (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) => tf.Tensor = op({
  forward: (x, weight, bias) => ({
    value: tf.add(tf.matMul(x!, weight!), bias!),
    saved: [x!, weight!],
  }),
  backward: (dOut, x, weight) => linearGradients(dOut, x!, weight!),
});

function linearGradients(dOut: tf.Tensor, x: tf.Tensor, weight: tf.Tensor): tf.Tensor[] {
  return [tf.matMul(dOut, tf.transpose(weight)), tableGradient(x, dOut), tf.sum(dOut, 0)];
}

/**
 * The gradient of a table that rows were multiplied with. The right factor is a copy: the WASM backend keeps what it packs
 * of it for as long as that factor lives, and gradients of rows live until the tape ends.
 */
function tableGradient(x: tf.Tensor, dOut: tf.Tensor): tf.Tensor {
  return tf.tidy(() => tf.matMul(tf.transpose(x), tf.mul(dOut, 1)));
}

/** Layer norm (Ba et al., 2016). */
export const layerNorm: (x: tf.Tensor, gain: tf.Tensor, shift: tf.Tensor) => tf.Tensor = op({
  forward: (x, gain, shift) => ({
    value: tf.add(tf.mul(normalized(x!).rows, gain!), shift!),
    saved: [x!, gain!],
  }),
  backward: (dOut, x, gain) => {
    const { rows, scale } = normalized(x!), d = tf.mul(dOut, gain!);
    const centred = tf.tidy(() => tf.sub(d, tf.mean(d, 1, true)));
    const along = tf.tidy(() => tf.mul(rows, tf.mean(tf.mul(d, rows), 1, true)));
    d.dispose();
    const dGain = tf.tidy(() => tf.sum(tf.mul(dOut, rows), 0));
    rows.dispose();
    const dx = tf.tidy(() => tf.mul(tf.sub(centred, along), scale));
    return [dx, dGain, tf.sum(dOut, 0)];
  },
});

function normalized(x: tf.Tensor): { rows: tf.Tensor; scale: tf.Tensor } {
  return tf.tidy(() => {
    const centred = tf.sub(x, tf.mean(x, 1, true));
    const variance = tf.tidy(() => tf.mean(tf.square(centred), 1, true));
    const scale = tf.rsqrt(tf.add(variance, 1e-5));
    return { rows: tf.mul(centred, scale), scale };
  });
}

/** GELU in the form of GPT-2, `x (1 + tanh u) / 2` with `u = √(2/π) (x + 0.044715 x³)`; that is `x sigmoid(2 u)`. */
const LINEAR = 2 * Math.sqrt(2 / Math.PI), CUBIC = 0.044715 * LINEAR;

/** `gelu(x) weight + bias`; of the wide rows only x is kept for the gradient, and scratch as short as can be. */
export const geluLinear: (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) => tf.Tensor = op({
  forward: (x, weight, bias) => {
    const activated = tf.tidy(() => tf.mul(x!, geluGate(x!)));
    return { value: tf.add(tf.matMul(activated, weight!), bias!), saved: [x!, weight!] };
  },
  backward: (dOut, x, weight) => {
    const gate = geluGate(x!), activated = tf.mul(x!, gate);
    const dWeight = tableGradient(activated, dOut);
    const bend = tf.tidy(() => tf.mul(activated, tf.sub(1, gate)));
    activated.dispose();
    const slope = tf.tidy(() => tf.add(gate, tf.mul(bend, parabola(x!, 3 * CUBIC))));
    tf.dispose([gate, bend]);
    const dActivated = tf.matMul(dOut, tf.transpose(weight!));
    return [tf.mul(dActivated, slope), dWeight, tf.sum(dOut, 0)];
  },
});

function geluGate(x: tf.Tensor): tf.Tensor {
  return tf.tidy(() => tf.sigmoid(tf.mul(x, parabola(x, CUBIC))));
}

function parabola(x: tf.Tensor, factor: number): tf.Tensor {
  return tf.tidy(() => tf.add(tf.mul(tf.square(x), factor), LINEAR));
}

/** Rows of a table `[names, channels]` that tokens name. */
export function embed(tokens: tf.Tensor1D, table: tf.Tensor): tf.Tensor {
  return op({
    forward: (table) => {
      const named = oneHot(tokens, table!.shape[0]!);
      return { value: tf.matMul(named, table!), saved: [named] };
    },
    backward: (dOut, named) => [tableGradient(named!, dOut)],
  })(table);
}

/** The product of every row with every row of the table: logits of tokens. */
export const scoreTokens: (x: tf.Tensor, table: tf.Tensor) => tf.Tensor = op({
  forward: (x, table) => ({ value: tf.matMul(x!, tf.transpose(table!)), saved: [x!, table!] }),
  backward: (dOut, x, table) => [
    tf.matMul(dOut, table!),
    tableGradient(dOut, x!),
  ],
});

/** The mean cross entropy of logits `[rows, names]`, in nats a row. */
export function crossEntropy(logits: tf.Tensor, targets: tf.Tensor1D): tf.Scalar {
  return op({
    forward: (logits) => {
      const named = oneHot(targets, logits!.shape[1]!),
        shifted = tf.sub(logits!, tf.max(logits!, 1, true));
      const total = tf.sum(tf.exp(shifted), 1);
      const loss = tf.mean(tf.sub(tf.log(total), tf.sum(tf.mul(shifted, named), 1)));
      return { value: loss, saved: [tf.softmax(logits!), named] };
    },
    backward: (dOut, chances, named) => [
      tf.mul(tf.sub(chances!, named!), tf.div(dOut, targets.shape[0])),
    ],
  })(logits) as tf.Scalar;
}

/** Ones where names are. Made of integers: on the WASM backend tf.oneHot of float32 holds their bits. */
function oneHot(names: tf.Tensor1D, count: number): tf.Tensor {
  return tf.cast(tf.oneHot(names, count), "float32");
}
