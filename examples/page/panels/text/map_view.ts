// The map of a head in the page: which part of it is shown, its cells as they are computed, and what they say in words.
import type { Engine } from "@flashtile/attention";
import { button, controlRow } from "../../parts/controls.ts";
import { element, fill } from "../../parts/elements.ts";
import { count, digits3, duration } from "../../parts/words.ts";
import type { Characters, Range } from "./characters.ts";
import { mapPicture } from "./map_picture.ts";
import { cellStart, type Overview, overviewOf, zoom } from "./overview.ts";
import type { Head, Rectangle } from "./reading.ts";
import { percent, visible } from "./words.ts";

/** Cells of the map on a side. */
const CELLS = 256;
const HINT = "Drag over a part to look closer; click a row to choose its character.";

/** The map and its words. */
export class MapView {
  readonly element: HTMLElement;
  readonly #engine: () => Engine;
  readonly #onError: (error: unknown) => void;
  readonly #words = element("p", { class: "hint" });
  readonly #cellWords = element("p", { class: "hint map-cell" });
  readonly #picture: ReturnType<typeof mapPicture>;
  #head: Head | undefined;
  #characters: Characters | undefined;
  #overview: Overview | undefined;
  /** The bytes of the character that is looked at, and of the one that it looks at most. */
  #query = 0;
  #key = 0;
  /** Counts the maps that were asked for: an older one ends. */
  #asked = 0;
  #name = "";

  constructor(
    engine: () => Engine,
    onCharacter: (character: number) => void,
    onError: (error: unknown) => void,
  ) {
    this.#engine = engine;
    this.#onError = onError;
    this.#picture = mapPicture(() => this.#data(), {
      onZoom: (rectangle) => void this.#paint(rectangle),
      onQuery: (byte) => onCharacter(this.#characters!.ofByte[byte]!),
      onCell: (cell) => this.#tellCell(cell),
      middle: () => this.#middle(),
    });
    this.element = element(
      "figure",
      { class: "chart text-map" },
      element("figcaption", {}, "Map of this head: queries down, keys across"),
      this.#picture.canvas,
      this.#cellWords,
      controlRow(
        button("Zoom in", () => this.#zoom(0.5)),
        button("Zoom out", () => this.#zoom(2)),
        button("Whole text", () => this.#head && void this.#paint(wholeOf(this.#head))),
      ),
      this.#words,
    );
  }

  /** Shows a head; of the same text, the same part of it. */
  async show(head: Head, characters: Characters, name: string): Promise<void> {
    const same = characters === this.#characters && this.#overview?.rectangle;
    this.#head = head;
    this.#characters = characters;
    this.#name = name;
    await this.#paint(same || wholeOf(head));
  }

  /** Marks the row of a character. */
  mark(query: number, key: number): void {
    this.#query = query;
    this.#key = key;
    this.#picture.update();
  }

  #data(): { head: Head; overview: Overview; query: number } | undefined {
    if (!this.#head || !this.#overview) return undefined;
    return { head: this.#head, overview: this.#overview, query: this.#query };
  }

  /** Where zooming in goes to: the pair that is looked at, if it is shown. */
  #middle(): readonly [row: number, key: number] {
    const { rows, keys } = this.#overview!.rectangle;
    const inside = (byte: number, [first, end]: Range) => byte >= first && byte < end;
    if (inside(this.#query, rows) && inside(this.#key, keys)) return [this.#query, this.#key];
    return [(rows[0] + rows[1]) / 2, (keys[0] + keys[1]) / 2];
  }

  #zoom(factor: number): void {
    if (!this.#overview || !this.#head) return;
    const middle = factor < 1 ? this.#middle() : undefined;
    void this.#paint(zoom(this.#overview.rectangle, factor, this.#head.length, middle));
  }

  /** Computes a part of the map; what is done of it is shown from the top. */
  async #paint(rectangle: Rectangle): Promise<void> {
    const asked = ++this.#asked, head = this.#head!, start = performance.now();
    try {
      for await (const overview of overviewOf(head, rectangle, CELLS, this.#engine())) {
        if (asked !== this.#asked) return;
        this.#overview = overview;
        this.#picture.update();
        await new Promise((resolve) => setTimeout(resolve, 0)); // the page has its turn
      }
      if (asked === this.#asked) this.#tell(performance.now() - start);
    } catch (error) {
      if (asked === this.#asked) this.#onError(error);
    }
  }

  #tell(milliseconds: number): void {
    const { rectangle: { rows, keys }, rows: down, columns } = this.#overview!;
    const tall = (rows[1] - rows[0]) / down, wide = (keys[1] - keys[0]) / columns;
    const cell = Math.max(tall, wide) === 1
      ? "one pair of bytes"
      : `about ${digits3(tall)} × ${digits3(wide)} pairs of bytes`;
    const part = (what: string, [first, end]: Range) =>
      `${what} ${count(first)} to ${count(end - 1)}`;
    this.#words.textContent =
      `${part("Queries", rows)}, ${part("keys", keys)}; a cell is ${cell}. ` +
      `Computed in ${
        duration(milliseconds)
      }. At the top: what each key received; on the left: the entropy of each query.`;
    const { canvas } = this.#picture;
    canvas.setAttribute(
      "aria-label",
      `Map of the attention of ${this.#name}. ${part("Queries", rows)}, ${part("keys", keys)}. ` +
        "Plus and minus zoom, arrows move, 0 shows all.",
    );
    canvas.dataset["part"] = [...rows, ...keys].join(" ");
    this.#tellCell(undefined);
  }

  #tellCell(cell: readonly [row: number, column: number] | undefined): void {
    if (!cell || !this.#overview) {
      this.#cellWords.textContent = HINT;
      return;
    }
    const { rectangle: { rows, keys }, rows: down, columns, shares } = this.#overview;
    const [row, column] = cell;
    const words = (range: Range, cells: number, n: number) => {
      const bytes = [cellStart(range, cells, n), cellStart(range, cells, n + 1)] as const;
      const text = [...this.#characters!.textOf(bytes)].slice(0, 20).map(visible).join("");
      return element("bdi", {}, `“${text}”`);
    };
    const share = percent(shares[row * columns + column]!);
    fill(
      this.#cellWords,
      words(rows, down, row),
      ` gives ${share} to `,
      words(keys, columns, column),
    );
  }
}

function wholeOf({ length }: Head): Rectangle {
  return { rows: [0, length], keys: [0, length] };
}
