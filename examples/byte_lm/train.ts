import { Adam } from "./adam.ts";
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
const HELD_OUT_AT = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
const WARM_UP_STEPS = 30;

/** Trains until the schedule ends or `stop` fires; `report` hears of every step. */
export async function train(
  model: ByteModel,
  text: Text,
  schedule: Schedule,
  stop: AbortSignal,
  report: (history: History) => void,
): Promise<History> {
  const { context } = model.shape;
  const random = new Random(schedule.seed);
  const adam = new Adam(model.parameters);
  const start = performance.now();
  const attentionBefore = model.attentionMs;
  const history: History = {
    training: [],
    heldOut: [],
    seconds: 0,
    bytesTrained: 0,
    attentionShare: 0,
  };
  const heldOut = piecesInOrder(text.heldOut, context);
  history.heldOut.push({ step: 0, loss: await meanLoss(model, heldOut) });

  let checks = 0;
  for (let step = 1; step <= schedule.steps && !stop.aborted; step++) {
    const { tokens, targets } = randomBatch(text.training, schedule.batch, context, random);
    const loss = await model.lossAndGradients(tokens, targets, context);
    const done = Math.max(step / schedule.steps, history.seconds / schedule.seconds);
    adam.step(learningRate(schedule.rate, step, done));
    history.training.push({ step, loss });
    history.bytesTrained += tokens.length;
    if (done >= HELD_OUT_AT[checks]!) {
      checks = HELD_OUT_AT.findLastIndex((share) => done >= share) + 1;
      history.heldOut.push({ step, loss: await meanLoss(model, heldOut) });
    }
    const milliseconds = performance.now() - start;
    history.seconds = milliseconds / 1000;
    history.attentionShare = (model.attentionMs - attentionBefore) / milliseconds;
    report(history);
    if (history.seconds >= schedule.seconds) break;
    await letSignalsThrough();
  }

  history.heldOut.push({ step: history.training.length, loss: await meanLoss(model, heldOut) });
  return history;
}

/** Mean of the last training losses: a single step is one random piece of text, and noisy. */
export function recentLoss(history: History, steps = 50): number {
  const last = history.training.slice(-steps);
  return last.reduce((sum, point) => sum + point.loss, 0) / last.length;
}

/** A short warm-up, full speed for half the run, then a cosine to a twentieth. */
function learningRate(highest: number, step: number, done: number): number {
  const warmUp = Math.min(1, step / WARM_UP_STEPS);
  const cooling = Math.min(1, Math.max(0, 2 * done - 1));
  return highest * warmUp * (0.05 + 0.95 * 0.5 * (1 + Math.cos(Math.PI * cooling)));
}

async function meanLoss(model: ByteModel, pieces: readonly Batch[]): Promise<number> {
  let total = 0, bytes = 0;
  for (const { tokens, targets } of pieces) {
    total += tokens.length * await model.loss(tokens, targets, tokens.length);
    bytes += tokens.length;
  }
  return total / bytes;
}

/** Signals and timers are heard only between tasks; awaiting finished work never gets there. */
function letSignalsThrough(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
