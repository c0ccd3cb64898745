// The panel: a text, the character that is looked at, the map of a head.
import type { Engine } from "@flashtile/attention";
import type { ByteModel } from "../../../byte_lm/model.ts";
import type { Page } from "../../panel.ts";
import { controlRow, segments } from "../../parts/controls.ts";
import { element, fill } from "../../parts/elements.ts";
import { errorBox } from "../../parts/error_box.ts";
import { seen } from "../../parts/seen.ts";
import { count, digits3, duration, plural } from "../../parts/words.ts";
import { attendedList } from "./attended_list.ts";
import { Characters } from "./characters.ts";
import { MapView } from "./map_view.ts";
import { onHandedModel } from "./handed_model.ts";
import { modelOf, openedModel, pageModel } from "./model_choice.ts";
import { headField, modelField } from "./model_field.ts";
import { type Attended, type Head, LONGEST, Reading } from "./reading.ts";
import { canColor, shownText } from "./shown_text.ts";
import { textSource } from "./text_source.ts";
import { percent, visible } from "./words.ts";

/** What the colours of the text say. */
type Coloring = "attention" | "received" | "entropy";

/** Entries of the list. */
const ENTRIES = 8;

/** Builds the panel; what is heavy about it begins when it is in view. */
export async function mountText(panel: HTMLElement, page: Page): Promise<void> {
  if (!canColor()) {
    throw new Error(
      "Cannot colour the text: this browser has no CSS Custom Highlight API. " +
        "Chromium 105, Safari 17.2 and Firefox 140 have it",
    );
  }
  const view = new TextView(page);
  panel.append(...view.elements);
  await seen(panel);
  await view.begin();
}

/** A head, with numbers of every character. */
interface Prepared {
  readonly head: Head;
  readonly received: Float32Array;
  readonly entropy: Float32Array;
}

/** What is looked at, with the share of every character. */
interface Looked {
  readonly by: Prepared;
  readonly character: number;
  readonly strongest: readonly Attended[];
  readonly attention: Float32Array;
}

class TextView {
  readonly #page: Page;
  readonly #source = textSource(() => void this.#read(), () => void this.#takeSample());
  readonly #modelField = modelField((file) =>
    void this.#takeModel(file.name, (engine) => openedModel(file, engine))
  );
  readonly #heads = element("div");
  readonly #status = element("p", { class: "status", role: "status" });
  readonly #errors = element("div", { class: "run" });
  readonly #results = element("div", { class: "text-results" });
  readonly #shown = shownText({
    onPoint: (character) => void this.#look(character ?? this.#pinned, false),
    onChoose: (character) => this.#choose(character),
    chosen: () => this.#pinned,
  });
  readonly #list = attendedList((character) => this.#choose(character));
  readonly #map = new MapView(
    () => this.#engine!,
    (character) => this.#choose(character),
    (error) => this.#fail(error, "The map could not be computed."),
  );

  #engine: Engine | undefined;
  #model: ByteModel | undefined;
  #characters: Characters | undefined;
  #reading: Reading | undefined;
  #place: readonly [layer: number, head: number] = [1, 0];
  #prepared: Prepared | undefined;
  #looked: Looked | undefined;
  #coloring: Coloring = "attention";
  /** The character that was chosen; while a pointer is on another one, that is looked at. */
  #pinned = 0;
  #wanted = 0;
  /** Counts texts and heads that were asked for: what answers an older question is dropped. */
  #asked = 0;

  constructor(page: Page) {
    this.#page = page;
  }

  /** What goes into the panel. */
  get elements(): HTMLElement[] {
    const colorings = [
      { value: "attention", label: "What it looks at" },
      { value: "received", label: "Attention received" },
      { value: "entropy", label: "Entropy" },
    ] as const;
    const coloring = segments<Coloring>(
      "Colours show",
      colorings,
      "attention",
      (value) => {
        this.#coloring = value;
        this.#color();
      },
    );
    const named = element("span", { class: "field-name", "aria-hidden": "true" }, "Colours show");
    fill(
      this.#results,
      controlRow(this.#heads, element("div", { class: "field" }, named, coloring)),
      element(
        "div",
        { class: "text-columns" },
        element("div", { class: "text-side" }, this.#shown.element, this.#list.element),
        this.#map.element,
      ),
    );
    this.#results.hidden = true;
    return [
      controlRow(this.#source.sample, this.#modelField.field),
      this.#source.text,
      this.#errors,
      this.#status,
      this.#results,
    ];
  }

  async begin(): Promise<void> {
    this.#engine = await this.#page.engine();
    await this.#takeModel("", pageModel);
    await this.#takeSample();
    onHandedModel(({ name, file }) =>
      void this.#takeModel(name, (engine) => Promise.resolve(modelOf(name, file, engine)))
    );
  }

  #fail(error: unknown, what?: string): void {
    this.#status.textContent = "";
    fill(this.#errors, errorBox(error, what));
  }

  async #takeModel(name: string, load: (engine: Engine) => Promise<ByteModel>): Promise<void> {
    fill(this.#errors);
    try {
      this.#model = await load(this.#engine!);
    } catch (error) {
      this.#fail(error, "The model could not be loaded.");
      return;
    }
    const { layers, heads } = this.#model.shape, [layer, head] = this.#place;
    this.#modelField.show(
      name && `${name}: ${plural(layers * heads, "head")} in ${plural(layers, "layer")}`,
    );
    this.#place = [Math.min(layer, layers - 1), Math.min(head, heads - 1)];
    fill(
      this.#heads,
      headField(this.#model.shape, this.#place, (layer, head) => {
        this.#place = [layer, head];
        void this.#takeHead();
      }),
    );
    if (this.#characters) await this.#read();
  }

  async #takeSample(): Promise<void> {
    try {
      await this.#source.takeSample();
    } catch (error) {
      this.#fail(error);
      return;
    }
    await this.#read();
  }

  /** Reads the text that stands in the field. */
  async #read(): Promise<void> {
    const asked = ++this.#asked, start = performance.now();
    if (!this.#model) return; // an error says why
    fill(this.#errors);
    this.#status.textContent = "Reading …";
    try {
      const characters = new Characters(this.#source.value());
      checkLength(characters);
      const reading = await Reading.of(this.#model, characters.bytes, this.#engine!);
      if (asked !== this.#asked) return;
      this.#characters = characters;
      this.#reading = reading;
      this.#prepared = this.#looked = undefined;
      this.#results.hidden = false;
      this.#shown.show(characters);
      this.#pinned = Math.floor(characters.count * 0.9); // it has something to look at
      this.#status.textContent = `${count(characters.count)} characters in ` +
        `${count(characters.bytes.length)} bytes, read in ${duration(performance.now() - start)}.`;
      await this.#takeHead();
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#results.hidden = true;
      this.#fail(error);
    }
  }

  async #takeHead(): Promise<void> {
    const asked = ++this.#asked, [layer, number] = this.#place, characters = this.#characters!;
    try {
      const head = await this.#reading!.head(layer, number);
      if (asked !== this.#asked) return;
      this.#prepared = {
        head,
        received: characters.join(head.received, "sum"),
        entropy: characters.join(head.entropy, "mean"),
      };
      await this.#look(this.#pinned, false);
      await this.#map.show(
        head,
        characters,
        `layer ${layer + 1}, head ${number + 1}`,
      );
    } catch (error) {
      if (asked === this.#asked) {
        this.#fail(error, "This head could not be shown.");
      }
    }
  }

  #choose(character: number): void {
    this.#pinned = character;
    void this.#look(character, true);
  }

  /** Looks at a character; `chosen`: by a click or a key, and not by pointing at it. */
  async #look(character: number, chosen: boolean): Promise<void> {
    const by = this.#prepared, characters = this.#characters, before = this.#looked;
    if (!by || !characters) return;
    this.#wanted = character;
    if (!chosen && before?.character === character && before.by === by) return;
    try {
      const found = await this.#reading!.attended(by.head, characters, character, ENTRIES);
      if (this.#wanted !== character || this.#prepared !== by) return;
      const { strongest, shares } = found;
      this.#looked = { by, character, strongest, attention: shares };
      // the other colours are those of the head, whatever is looked at
      if (this.#coloring === "attention" || before?.by !== by) this.#color();
      this.#show(this.#looked, chosen);
    } catch (error) {
      this.#fail(error, "This character could not be looked at.");
    }
  }

  #show({ by, character, strongest }: Looked, chosen: boolean): void {
    const characters = this.#characters!, { received, entropy } = by;
    this.#shown.mark(character, chosen);
    this.#list.show(characters, character, strongest, [
      `character ${count(character + 1)}`,
      `entropy ${digits3(entropy[character]!)} nats`,
      `received ${digits3(received[character]!)} in total`,
    ]);
    const [query] = characters.bytesOf(character);
    this.#map.mark(query, characters.bytesOf(strongest[0]?.character ?? character)[0]);
    if (!chosen) return;
    const words = strongest.slice(0, 3).map(({ character: key, share }) =>
      `${visible(characters.at(key))} ${percent(share)}`
    );
    this.#page.announce(
      `${visible(characters.at(character))} looks at ${words.join(", ")}`,
    );
  }

  #color(): void {
    if (!this.#looked) return;
    const { attention, by: { received, entropy } } = this.#looked;
    this.#shown.color({ attention, received, entropy }[this.#coloring]);
  }
}

/** Throws a sentence for people where a text cannot be read. */
function checkLength({ bytes, count: characters }: Characters): void {
  if (characters === 0) {
    throw new RangeError("There is no text: type or paste some into the field");
  }
  if (bytes.length <= LONGEST) return;
  throw new RangeError(
    `Cannot read ${count(bytes.length)} bytes at once: the longest text here has ` +
      `${count(LONGEST)}. Take a part of it`,
  );
}
