import * as tf from "@tensorflow/tfjs";
import type { Gpt } from "./model.ts";

export interface LossAndGradients {
  loss: tf.Scalar;
  /** By the name of the variable. */
  gradients: tf.NamedTensorMap;
}

/** The loss and its gradients, through one tape: what every op saved lives until the end. */
export function gradientsAtOnce(
  model: Gpt,
  tokens: tf.Tensor1D,
  targets: tf.Tensor1D,
): LossAndGradients {
  const { value, grads } = tf.variableGrads(() => model.loss(tokens, targets), model.variables);
  return { loss: value, gradients: grads };
}

/**
 * The same numbers in less memory (Chen et al., 2016): each stage runs a second time for its gradients, so that only the
 * inputs of stages live all the while, and the tape of one piece of one stage.
 */
export function gradientsByStage(
  model: Gpt,
  tokens: tf.Tensor1D,
  targets: tf.Tensor1D,
): LossAndGradients {
  const gradients: tf.NamedTensorMap = {};
  const add = (variables: tf.Variable[], made: tf.Tensor[]) =>
    variables.forEach(({ name }, n) => {
      const before = gradients[name], more = made[n]!;
      gradients[name] = tf.keep(before ? tf.add(before, more) : more);
      if (before) tf.dispose([before, more]);
    });
  const loss = tf.tidy(() => {
    const inputs = [model.embed(tokens)];
    for (const { apply, pieces } of model.stages) {
      inputs.push(byRows([inputs.at(-1)!], pieces, ([x]) => tf.tidy(() => apply(x!))));
    }

    const last = inputs.pop()!, variables = model.headVariables;
    const head = tf.valueAndGrads((x) => model.head(x!, targets))([last, ...variables]);
    let [dx, ...made] = head.grads as [tf.Tensor, ...tf.Tensor[]];
    add(variables, made);
    last.dispose();
    for (const { apply, variables, pieces } of model.stages.toReversed()) {
      const x = inputs.pop()!, dOut = dx;
      dx = byRows([x, dOut], pieces, ([x, dOut]) => {
        const [dx, ...made] = tf.grads((x) => apply(x!))([x!, ...variables], dOut) as [
          tf.Tensor,
          ...tf.Tensor[],
        ];
        add(variables, made);
        return dx;
      });
      tf.dispose([x, dOut]);
    }
    const first = model.embedVariables;
    add(first, tf.grads(() => model.embed(tokens))(first, dx));
    return head.value as tf.Scalar;
  });
  return { loss, gradients };
}

/**
 * What `f` makes of rows, of so many pieces of them in turn. They are cut with tf.gather, since tf.slice of the WASM backend
 * copies all rows to the host, for each piece.
 */
function byRows(
  inputs: tf.Tensor[],
  pieces: number,
  f: (inputs: tf.Tensor[]) => tf.Tensor,
): tf.Tensor {
  if (pieces === 1) return f(inputs);
  const rows = inputs[0]!.shape[0]!, each = Math.ceil(rows / pieces);
  return tf.tidy(() => {
    const made: tf.Tensor[] = [];
    for (let first = 0; first < rows; first += each) {
      const which = tf.range(first, Math.min(first + each, rows), 1, "int32");
      const cut = inputs.map((input) => tf.gather(input, which));
      made.push(f(cut));
      tf.dispose([which, ...cut]);
    }
    return tf.concat(made);
  });
}
