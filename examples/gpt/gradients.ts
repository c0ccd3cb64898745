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
 * inputs of stages live all the while, and the tape of one stage.
 */
export function gradientsByStage(
  model: Gpt,
  tokens: tf.Tensor1D,
  targets: tf.Tensor1D,
): LossAndGradients {
  const gradients: tf.NamedTensorMap = {};
  const add = (variables: tf.Variable[], made: tf.Tensor[]) =>
    variables.forEach(({ name }, n) => {
      const before = gradients[name];
      gradients[name] = tf.keep(before ? tf.add(before, made[n]!) : made[n]!);
      before?.dispose();
    });
  const loss = tf.tidy(() => {
    const inputs = [model.embed(tokens)];
    for (const { apply } of model.stages) inputs.push(tf.tidy(() => apply(inputs.at(-1)!)));

    const last = inputs.pop()!, variables = model.headVariables;
    const head = tf.valueAndGrads((x) => model.head(x!, targets))([last, ...variables]);
    let [dx, ...made] = head.grads as [tf.Tensor, ...tf.Tensor[]];
    add(variables, made);
    last.dispose();
    for (const { apply, variables } of model.stages.toReversed()) {
      const x = inputs.pop()!, dOut = dx;
      [dx, ...made] = tf.grads((x) => apply(x!))([x, ...variables], dOut) as typeof head.grads as [
        tf.Tensor,
        ...tf.Tensor[],
      ];
      add(variables, made);
      tf.dispose([x, dOut]);
    }
    const first = model.embedVariables;
    add(first, tf.grads(() => model.embed(tokens))(first, dx));
    return head.value as tf.Scalar;
  });
  return { loss, gradients };
}
