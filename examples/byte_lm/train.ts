import { Adam, type AdamState } from "./adam.ts";
import type { ByteModel } from "./model.ts";
import { Random } from "./random.ts";
import { type Batch, piecesInOrder, randomBatch, type Text } from "./text.ts";

/** When to stop, whichever comes first, and how fast to learn. */
export interface Schedule {
  batch: number;
  steps: number;
  seconds: number;
  rate: number;
  seed: number;
}

/** A loss in nats per byte, and when it was measured. */
export interface LossPoint {
  step: number;
  loss: number;
}

/** Everything a reader of the run may want to see. */
export interface History {
  training: LossPoint[];
  heldOut: LossPoint[];
  seconds: number;
  bytesTrained: number;
  /** Share of all the time so far that was spent in attention, 0 to 1. */
  attentionShare: number;
}

/** When to read the held-out text, as shares of the run: often at first, when the loss falls fast. */
const HELD_OUT_AT = [
  0.02,
  0.05,
  0.1,
  0.15,
  0.2,
  0.3,
  0.4,
  0.5,
  0.6,
  0.7,
  0.8,
  0.9,
];
const WARM_UP_STEPS = 30;

/** What a run needs beside the parameters to go on as if it had never stopped. */
export interface RunState {
  adam: AdamState;
  /** State of the numbers that choose pieces of the text. */
  random: number;
}

/** One run of training, step by step, so that it can stop and go on. */
export class Trainer {
  readonly history: History = {
    training: [],
    heldOut: [],
    seconds: 0,
    bytesTrained: 0,
    attentionShare: 0,
  };
  readonly #model: ByteModel;
  readonly #text: Text;
  readonly #heldOut: Batch[];
  readonly #batch: number;
  readonly #random: Random;
  readonly #adam: Adam;

  /** `batch`: pieces of text of a step; `state` is that of a run to go on with, or a seed. */
  constructor(
    model: ByteModel,
    text: Text,
    batch: number,
    state: RunState | number,
  ) {
    this.#model = model;
    this.#text = text;
    this.#heldOut = piecesInOrder(text.heldOut, model.shape.context);
    this.#batch = batch;
    this.#random = new Random(typeof state === "number" ? state : state.random);
    this.#adam = new Adam(
      model.parameters,
      typeof state === "number" ? undefined : state.adam,
    );
  }

  /** Steps so far, those before this run included. */
  get steps(): number {
    return this.#adam.state.steps;
  }

  /** The arrays are those of the run, not copies. */
  get state(): RunState {
    return { adam: this.#adam.state, random: this.#random.state };
  }

  /** Learns from one batch; returns its loss. */
  async step(rate: number): Promise<number> {
    const { context } = this.#model.shape;
    const { tokens, targets } = randomBatch(
      this.#text.training,
      this.#batch,
      context,
      this.#random,
    );
    const loss = await this.#model.lossAndGradients(tokens, targets, context);
    this.#adam.step(rate);
    this.history.training.push({ step: this.steps, loss });
    this.history.bytesTrained += tokens.length;
    return loss;
  }

  /** Reads the held-out text; returns the mean loss on it. */
  async readHeldOut(): Promise<number> {
    let total = 0, bytes = 0;
    for (const { tokens, targets } of this.#heldOut) {
      total += tokens.length *
        await this.#model.loss(tokens, targets, tokens.length);
      bytes += tokens.length;
    }
    this.history.heldOut.push({ step: this.steps, loss: total / bytes });
    return total / bytes;
  }
}

/** Trains until the schedule ends or `stop` fires; `report` hears of every step. */
export async function train(
  model: ByteModel,
  text: Text,
  schedule: Schedule,
  stop: AbortSignal,
  report: (history: History) => void,
): Promise<History> {
  const trainer = new Trainer(model, text, schedule.batch, schedule.seed),
    { history } = trainer;
  const start = performance.now();
  const attentionBefore = model.attentionMs;
  await trainer.readHeldOut();

  let checks = 0;
  for (let step = 1; step <= schedule.steps && !stop.aborted; step++) {
    const done = Math.max(
      step / schedule.steps,
      history.seconds / schedule.seconds,
    );
    await trainer.step(learningRate(schedule.rate, step, done));
    if (done >= HELD_OUT_AT[checks]!) {
      checks = HELD_OUT_AT.findLastIndex((share) => done >= share) + 1;
      await trainer.readHeldOut();
    }
    const milliseconds = performance.now() - start;
    history.seconds = milliseconds / 1000;
    history.attentionShare = (model.attentionMs - attentionBefore) /
      milliseconds;
    report(history);
    if (history.seconds >= schedule.seconds) break;
    await letSignalsThrough();
  }

  await trainer.readHeldOut();
  return history;
}

/** Mean of the last training losses: a single step is one random piece of text, and noisy. */
export function recentLoss(history: History, steps = 50): number {
  const last = history.training.slice(-steps);
  return last.reduce((sum, point) => sum + point.loss, 0) / last.length;
}

/** Share of the highest rate: a first step far from a good place must not be a large one. */
export function warmUp(step: number): number {
  return Math.min(1, step / WARM_UP_STEPS);
}

/** A short warm-up, full speed for half the run, then a cosine to a twentieth. */
function learningRate(highest: number, step: number, done: number): number {
  const cooling = Math.min(1, Math.max(0, 2 * done - 1));
  return highest * warmUp(step) *
    (0.05 + 0.95 * 0.5 * (1 + Math.cos(Math.PI * cooling)));
}

/** Signals, messages and timers are heard only between tasks; awaiting finished work never gets there. */
export function letSignalsThrough(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
