/** A byte model in training: it steps, stops, goes on, writes, and is saved. No part of a page: it runs in a worker. */
import type { Engine } from "@flashtile/attention";
import { continueText } from "../../../byte_lm/generate.ts";
import { ByteModel } from "../../../byte_lm/model.ts";
import { readModel, writeModel } from "../../../byte_lm/model_file.ts";
import type { ModelShape } from "../../../byte_lm/parameters.ts";
import { Random } from "../../../byte_lm/random.ts";
import { entropies, splitText } from "../../../byte_lm/text.ts";
import { type LossPoint, type RunState, Trainer, warmUp } from "../../../byte_lm/train.ts";

/** Highest learning rate, and the step from which it falls with the square root: a run has no planned end. */
const RATE = 0.006, FALLS_FROM = 400;
const SEED = 1;
/** When the held-out text is read, which takes about as long as ten steps: often at first, when the loss falls fast. */
const HELD_OUT_AT: readonly number[] = [1, 20, 50], HELD_OUT_EVERY = 100;

/** A text to train on. */
export interface NamedText {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What is known before the first step. */
export interface Beginning {
  readonly shape: ModelShape;
  readonly parameters: number;
  readonly step: number;
  readonly trainingBytes: number;
  readonly heldOutBytes: number;
  /** Entropy of a byte of the text, in nats: on its own, and when the byte before is known. */
  readonly unigram: number;
  readonly bigram: number;
}

/** What one step brought. */
export interface Step {
  readonly training: LossPoint;
  /** Where the held-out text was read after this step. */
  readonly heldOut: LossPoint | undefined;
  readonly tokens: number;
  /** Milliseconds of the step, without the held-out text. */
  readonly milliseconds: number;
}

/** One model, one text, one run. */
export class Session {
  readonly model: ByteModel;
  readonly #trainer: Trainer;
  readonly #text: NamedText;

  private constructor(model: ByteModel, run: RunState | number, text: NamedText) {
    this.model = model;
    this.#text = text;
    this.#trainer = new Trainer(
      model,
      splitText(text.name, text.bytes, model.shape.context),
      1,
      run,
    );
  }

  /** A new model. Throws a sentence for people where the text is too short. */
  static begin(text: NamedText, shape: ModelShape, engine: Engine): Session {
    return new Session(new ByteModel(shape, new Random(SEED), engine), SEED, text);
  }

  /** A model from a file, whose run goes on where it stopped. Throws a sentence for people where the file is none. */
  static resume(text: NamedText, file: NamedText, engine: Engine): Session {
    const { model, run } = readModel(file.name, file.bytes, engine);
    return new Session(model, run ?? SEED, text);
  }

  /** Steps so far, those of the file included. */
  get steps(): number {
    return this.#trainer.steps;
  }

  /** Read before the first step of this session. */
  get beginning(): Beginning {
    const { shape, parameters } = this.model, { name, bytes } = this.#text;
    const { training, heldOut } = splitText(name, bytes, shape.context);
    return {
      ...{ shape, step: this.steps, ...entropies(bytes) },
      parameters: parameters.reduce((sum, { value }) => sum + value.length, 0),
      ...{ trainingBytes: training.length, heldOutBytes: heldOut.length },
    };
  }

  /** Learns from one piece of the text; reads the held-out text now and then. */
  async step(): Promise<Step> {
    const trainer = this.#trainer, { history } = trainer, start = performance.now();
    const number = trainer.steps + 1, rate = RATE * Math.min(1, Math.sqrt(FALLS_FROM / number));
    const loss = await trainer.step(rate * warmUp(number));
    if (!Number.isFinite(loss)) {
      throw new RangeError(
        `Cannot go on: the loss of step ${number} is ${loss}`,
      );
    }
    const milliseconds = performance.now() - start;
    const due = HELD_OUT_AT.includes(number) || number % HELD_OUT_EVERY === 0;
    if (due) await trainer.readHeldOut();
    return {
      training: history.training.at(-1)!,
      heldOut: due ? history.heldOut.at(-1) : undefined,
      tokens: this.model.shape.context,
      milliseconds,
    };
  }

  /** A prompt, or where it is empty a line that the model has not seen, and what the model writes after it. */
  async sample(prompt: string, count: number): Promise<{ prompt: string; text: string }> {
    const given = prompt === "" ? firstLine(this.#text.bytes) : new TextEncoder().encode(prompt);
    const bytes: number[] = [];
    const random = new Random(this.#trainer.steps);
    for await (const byte of continueText(this.model, given, count, 0.7, random)) bytes.push(byte);
    const decoder = new TextDecoder(); // what is no UTF-8 shows as U+FFFD
    return { prompt: decoder.decode(given), text: decoder.decode(Uint8Array.from(bytes)) };
  }

  /** The file of the model and of its run. */
  save(): Uint8Array<ArrayBuffer> {
    return writeModel(this.model, "F32", this.#trainer.state);
  }
}

/** The first whole line of the held-out part that has some words. */
function firstLine(bytes: Uint8Array): Uint8Array {
  const heldOut = bytes.subarray(-Math.max(1, Math.floor(bytes.length / 20)));
  const lines = new TextDecoder().decode(heldOut).split("\n").slice(1);
  const line = lines.find((line) => line.length >= 20) ??
    lines.find((line) => line !== "") ??
    new TextDecoder().decode(heldOut.subarray(-20));
  return new TextEncoder().encode(line.slice(0, 40));
}
