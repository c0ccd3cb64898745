/** Answers the requests of the panel, one after the other; a run takes its steps between them. */
import { createEngine, type Engine } from "@flashtile/attention";
import { letSignalsThrough, type LossPoint } from "../../../byte_lm/train.ts";
import type { Answer, Request } from "./messages.ts";
import { Session } from "./session.ts";

/** Milliseconds between two reports: a chart is drawn anew for each. */
const REPORT_EVERY = 200;
/** Steps of which the speed is the mean. */
const SPEED_OF = 20;

/** The service of one worker. */
export class Service {
  readonly #answer: (answer: Answer) => void;
  #engine: Promise<Engine> | undefined;
  #session: Session | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #running = false;
  /** The run that is under way, or the last one. */
  #loop: Promise<void> = Promise.resolve();

  constructor(answer: (answer: Answer) => void) {
    this.#answer = answer;
  }

  /** Does what is asked for once that before it is done; resolves then. */
  async handle(request: Request): Promise<void> {
    if (request.kind === "stop") {
      this.#running = false;
      return;
    }
    try {
      if (request.kind === "run") {
        await this.#last.catch(() => {}); // there may be another model in a moment
        if (!this.#running) await (this.#loop = this.#run());
        return;
      }
      if (request.kind === "begin") this.#running = false;
      await this.#inTurn(() => this.#do(request));
    } catch (error) {
      this.#running &&= request.kind !== "run";
      const message = error instanceof Error ? error.message : String(error);
      this.#answer({ kind: "failed", request: request.kind, message });
    }
  }

  /** Ends the engine. */
  async dispose(): Promise<void> {
    this.#running = false;
    await Promise.allSettled([this.#loop, this.#last]);
    (await this.#engine)?.dispose();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done;
    return done;
  }

  async #do(request: Exclude<Request, { kind: "run" | "stop" }>): Promise<void> {
    switch (request.kind) {
      case "begin": {
        await this.#loop.catch(() => {}); // told to stop: it asks for no other turn
        const { text, shape, file } = request, engine = await this.#openEngine();
        // only once it is whole does it take the place of the one before
        this.#session = file
          ? Session.resume(text, file, engine)
          : Session.begin(text, shape, engine);
        const words = `${engine.backend}: ${engine.reason}`;
        this.#answer({ kind: "begun", beginning: this.#session.beginning, engine: words });
        return;
      }
      case "sample": {
        const session = this.#begun(), sample = await session.sample(request.prompt, request.count);
        this.#answer({ kind: "sample", ...sample, step: session.steps });
        return;
      }
      case "save": {
        const session = this.#begun();
        this.#answer({ kind: "saved", file: session.save(), step: session.steps });
      }
    }
  }

  #openEngine(): Promise<Engine> {
    // calls are small and their tensors on the host: a GPU would wait for them
    this.#engine ??= createEngine({ backend: "wasm" });
    return this.#engine;
  }

  #begun(): Session {
    if (this.#session) return this.#session;
    throw new Error("Cannot go on: there is no model yet");
  }

  async #run(): Promise<void> {
    const session = this.#begun();
    this.#running = true;
    let training: LossPoint[] = [], heldOut: LossPoint[] = [], reported = performance.now();
    const times: number[] = [];
    const report = (tokens: number): void => {
      if (training.length === 0) return;
      const seconds = times.reduce((sum, time) => sum + time, 0) / 1000;
      const tokensPerSecond = tokens * times.length / seconds;
      this.#answer({ kind: "progress", training, heldOut, tokensPerSecond });
      training = [];
      heldOut = [];
      reported = performance.now();
    };
    while (this.#running) {
      const step = await this.#inTurn(() => session.step());
      training.push(step.training);
      if (step.heldOut) heldOut.push(step.heldOut);
      times.push(step.milliseconds);
      if (times.length > SPEED_OF) times.shift();
      if (performance.now() - reported >= REPORT_EVERY) report(step.tokens);
      await letSignalsThrough();
    }
    report(session.model.shape.context);
    this.#running = false;
    this.#answer({ kind: "stopped", step: session.steps });
  }
}
