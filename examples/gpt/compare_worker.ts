/** One kind of attention on a heap of its own: what it needs there is not hidden by the needs of another. */
import * as tf from "@tensorflow/tfjs";
import type { Batch } from "../byte_lm/text.ts";
import { type AttentionName, createAttention } from "../transformer/attention.ts";
import { bytesHeld, openBackend } from "../transformer/backend.ts";
import { Learner, type LearnerOptions } from "./learner.ts";

/** What a worker is asked for. */
export type Question =
  | { ask: "create"; name: AttentionName; options: LearnerOptions; batch: number }
  | { ask: "step"; pieces: Batch }
  | { ask: "attention" };

/** What it took. */
export interface Answer {
  ms: number;
  /** Of a step. */
  loss: number;
  /** Bytes by which memory grew since the model was made. */
  growth: number;
  error?: string;
}

let learner: Learner, attentionGradients: () => void, heldAtFirst = 0;

async function create({ name, options, batch }: Question & { ask: "create" }): Promise<void> {
  await openBackend("wasm");
  learner = await Learner.create(name, options);
  const { heads, dim, context } = options;
  const inputs = [1, 2, 3].map(() => tf.zeros([batch, context, heads, dim / heads]));
  const { attend } = await createAttention(name, { causal: true, length: context });
  const differentiate = tf.grads((q, k, v) => attend(q!, k!, v!));
  attentionGradients = () => tf.dispose(differentiate(inputs));
  heldAtFirst = total();
}

const total = (): number => {
  const { tensors, engine } = bytesHeld();
  return tensors + engine;
};

async function answer(question: Question): Promise<Answer> {
  const before = performance.now();
  let loss = NaN;
  if (question.ask === "create") await create(question);
  else if (question.ask === "step") loss = learner.step(question.pieces);
  else attentionGradients();
  return { ms: performance.now() - before, loss, growth: total() - heldAtFirst };
}

/** The global object of a worker; the compiler knows that of a window. */
const scope = self as unknown as {
  onmessage: (event: MessageEvent<Question>) => Promise<void>;
  postMessage(answer: Answer): void;
};

scope.onmessage = async ({ data }) => {
  try {
    scope.postMessage(await answer(data));
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    scope.postMessage({ ms: NaN, loss: NaN, growth: NaN, error: said });
  }
};
