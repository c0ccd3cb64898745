// The panel: a run of training, its loss, what the model writes, its file.
import type { Page } from "../../panel.ts";
import { button, controlRow } from "../../parts/controls.ts";
import { element, fill, uniqueId } from "../../parts/elements.ts";
import { errorBox } from "../../parts/error_box.ts";
import { count, plural } from "../../parts/words.ts";
import { startWorker } from "../../parts/worker.ts";
import { handModel } from "../text/handed_model.ts";
import { sizeField, textField } from "./choices.ts";
import { lossChart } from "./loss_chart.ts";
import { recent } from "./losses.ts";
import type { Answer, Request } from "./messages.ts";
import { sampleBox } from "./sample_box.ts";
import type { Beginning, NamedText } from "./session.ts";
import type { LossPoint } from "../../../byte_lm/train.ts";

/** Bytes of a sample, and how often one is written while training. */
const SAMPLE_BYTES = 180, SAMPLE_EVERY_MS = 8000;

/** What could not be done, by the request that failed. */
const FAILED: Readonly<Record<Request["kind"], string>> = {
  begin: "Training could not begin.",
  run: "Training had to stop.",
  stop: "Training could not be stopped.",
  sample: "The model could not write.",
  save: "The model could not be saved.",
};

/** Builds the panel. The worker is started when it is first needed. */
export function mountTraining(panel: HTMLElement, page: Page): void {
  const view = new TrainingView(page);
  panel.append(...view.elements);
}

class TrainingView {
  readonly #page: Page;
  readonly #text = textField();
  readonly #size = sizeField();
  readonly #start = button("Start training", () => void this.#startOrStop(), "primary");
  readonly #over = button("Start over", () => void this.#begin(undefined, true));
  readonly #save = button("Save to a file", () => this.#ask({ kind: "save" }, "file"));
  readonly #look = button("Look at its attention", () => this.#ask({ kind: "save" }, "look"));
  readonly #status = element("p", { class: "status" });
  readonly #about = element("p", { class: "note" });
  readonly #errors = element("div", { class: "run" });
  readonly #sampleBox = sampleBox(() => this.#sample());
  readonly #chart = lossChart(() => ({
    beginning: this.#beginning,
    training: this.#training,
    heldOut: this.#heldOut,
  }));

  #worker: Worker | undefined;
  #beginning: Beginning | undefined;
  #training: LossPoint[] = [];
  #heldOut: LossPoint[] = [];
  #speed = 0;
  #running = false;
  /** What the files that were asked for are for, the next one first. */
  readonly #wanted: ("file" | "look")[] = [];
  #sampled = 0;
  #runWhenBegun = false;

  constructor(page: Page) {
    this.#page = page;
    this.#showButtons();
  }

  /** What goes into the panel. */
  get elements(): HTMLElement[] {
    const id = uniqueId("field");
    const load = element("input", { type: "file", id, accept: ".safetensors" });
    load.addEventListener("change", () => {
      const [file] = load.files ?? [];
      if (file) void this.#load(file);
      load.value = "";
    });
    const loadField = element(
      "div",
      { class: "field" },
      element("label", { for: id }, "Go on with a saved model"),
      load,
    );
    return [
      controlRow(this.#text.field, this.#size.field),
      controlRow(this.#start, this.#over, this.#status),
      this.#errors,
      this.#about,
      element("div", { class: "figures" }, this.#chart.element, this.#sampleBox.element),
      element(
        "ul",
        { class: "legend" },
        element(
          "li",
          {},
          element("span", { class: "key-line" }),
          "on the text that it learns from",
        ),
        element("li", {}, element("span", { class: "key-dot" }), "on text held back from it"),
        element(
          "li",
          {},
          element("span", { class: "key-dashes" }),
          "of whoever knows how often bytes occur: alone, in pairs",
        ),
      ),
      controlRow(this.#save, this.#look, loadField),
    ];
  }

  #showButtons(): void {
    this.#start.textContent = this.#running ? "Stop" : this.#beginning ? "Go on" : "Start training";
    const none = !this.#beginning;
    this.#over.hidden = none;
    this.#save.disabled = this.#look.disabled = none;
    this.#sampleBox.enable(!none);
  }

  #fail(error: unknown, what: string): void {
    fill(this.#errors, errorBox(error, what));
  }

  /** Sends a request; `purpose`: what the file that comes back is for. */
  #ask(request: Request, purpose?: "file" | "look"): void {
    if (purpose) this.#wanted.push(purpose);
    this.#opened().postMessage(request);
  }

  #opened(): Worker {
    if (this.#worker) return this.#worker;
    const worker = startWorker("panels/training/train.worker.ts");
    worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#hear(data);
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      this.#worker = undefined;
      this.#running = false;
      this.#beginning = undefined; // it was in the worker
      this.#showButtons();
      const message = event.message || "its script did not load";
      this.#fail(new Error(message), "The worker that trains has ended.");
    };
    return this.#worker = worker;
  }

  async #startOrStop(): Promise<void> {
    if (this.#running) this.#ask({ kind: "stop" });
    else if (this.#beginning) this.#run();
    else await this.#begin(undefined, true);
  }

  #run(): void {
    fill(this.#errors);
    this.#running = true;
    this.#sampled = performance.now();
    this.#showButtons();
    this.#ask({ kind: "run" });
  }

  /** Makes a model, or reads one from a file; then trains it where `run`. */
  async #begin(file: NamedText | undefined, run: boolean): Promise<void> {
    fill(this.#errors);
    try {
      const text = await this.#text.text();
      this.#runWhenBegun = run;
      this.#ask({ kind: "begin", text, shape: this.#size.shape(), ...(file ? { file } : {}) });
      this.#status.textContent = "Preparing …";
    } catch (error) {
      this.#fail(error, FAILED.begin);
    }
  }

  async #load(file: File): Promise<void> {
    const bytes = new Uint8Array(await file.arrayBuffer());
    await this.#begin({ name: file.name, bytes }, false);
  }

  #sample(): void {
    this.#sampled = performance.now();
    this.#ask({ kind: "sample", prompt: this.#sampleBox.prompt(), count: SAMPLE_BYTES });
  }

  #hear(answer: Answer): void {
    switch (answer.kind) {
      case "begun":
        this.#hearBegun(answer.beginning, answer.engine);
        break;
      case "progress":
        this.#training.push(...answer.training);
        this.#heldOut.push(...answer.heldOut);
        this.#speed = answer.tokensPerSecond;
        this.#tell();
        if (performance.now() - this.#sampled > SAMPLE_EVERY_MS) this.#sample();
        break;
      case "stopped":
        this.#running = false;
        this.#showButtons();
        this.#tell();
        this.#page.announce(`Stopped. ${this.#status.textContent}`);
        if (this.#beginning) this.#sample();
        break;
      case "sample":
        this.#sampleBox.show(answer.prompt, answer.text);
        break;
      case "saved":
        this.#hearSaved(answer.file, answer.step);
        break;
      case "failed":
        if (answer.request === "save") this.#wanted.shift();
        if (answer.request === "run") this.#running = false;
        this.#showButtons();
        this.#tell();
        this.#fail(new Error(answer.message), FAILED[answer.request]);
    }
  }

  #hearBegun(beginning: Beginning, engine: string): void {
    this.#beginning = beginning;
    this.#training = [];
    this.#heldOut = [];
    this.#running = false;
    const { parameters, trainingBytes, heldOutBytes, shape, step } = beginning;
    this.#about.textContent =
      `${count(parameters)} parameters in ${plural(shape.layers, "layer")}; ` +
      `${count(trainingBytes)} bytes to learn from, ${count(heldOutBytes)} held back; ${engine}.`;
    this.#chart.update();
    this.#status.textContent = step > 0 ? `Read: it has learned for ${count(step)} steps.` : "";
    this.#page.announce(this.#status.textContent);
    if (this.#runWhenBegun) this.#run();
    else {
      this.#showButtons();
      this.#sample();
    }
  }

  #tell(): void {
    const last = this.#training.at(-1);
    this.#chart.update();
    if (!last) {
      this.#status.textContent = "";
      return;
    }
    this.#status.textContent =
      `Step ${count(last.step)}, loss ${recent(this.#training, 20).toFixed(2)}, ` +
      `${count(Math.round(this.#speed))} tokens a second`;
  }

  #hearSaved(file: Uint8Array<ArrayBuffer>, step: number): void {
    const name = `model-${step}.safetensors`;
    if (this.#wanted.shift() === "look") {
      handModel({ name, file });
      document.getElementById("text")?.scrollIntoView();
      this.#page.announce("The panel about attention in a text now reads with this model.");
      return;
    }
    const url = URL.createObjectURL(new Blob([file], { type: "application/octet-stream" }));
    element("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    this.#page.announce(`${name} is saved.`);
  }
}
