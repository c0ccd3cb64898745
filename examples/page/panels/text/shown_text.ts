// The text itself, with strengths as the background of its characters. It is one text node, so that every script is shaped
// and ordered as it should be: the colours are ranges of the CSS Custom Highlight API.
import { element } from "../../parts/elements.ts";
import type { Characters } from "./characters.ts";

/** Steps of strength; style.css has a colour for each. */
const LEVELS = 8;
const CHOSEN = "attention-chosen";
/** Half of the space between two lines, in CSS pixels: a pointer there is on one of them. */
const BETWEEN = 6;

/** The text in the page. */
export interface ShownText {
  readonly element: HTMLElement;
  readonly show: (characters: Characters) => void;
  /** Strengths of all characters; the largest is the strongest colour. */
  readonly color: (strengths: Float32Array) => void;
  /** Marks a character, and brings it into view where `reveal`. */
  readonly mark: (character: number, reveal: boolean) => void;
}

/** What the text hears. */
export interface TextEvents {
  /** A character is pointed at; undefined: none is any more. */
  readonly onPoint: (character: number | undefined) => void;
  /** A character is chosen, by a click or a key. */
  readonly onChoose: (character: number) => void;
  /** The character that is chosen now. */
  readonly chosen: () => number;
}

/** Whether this browser can colour parts of a text. */
export function canColor(): boolean {
  return "highlights" in CSS && typeof Highlight === "function";
}

/** An empty text. */
export function shownText({ onPoint, onChoose, chosen }: TextEvents): ShownText {
  const frame = element("div", {
    class: "output-text attention-text",
    tabindex: 0,
    role: "application", // the arrow keys are its own
    "aria-label": "The text; arrow keys move from character to character",
  });
  const node = document.createTextNode("");
  frame.append(node);
  let characters: Characters | undefined;

  const rangeOf = (first: number, end: number = first + 1): Range => {
    const range = document.createRange();
    range.setStart(node, characters!.unitsOf(first)[0]);
    range.setEnd(node, characters!.unitsOf(end - 1)[1]);
    return range;
  };
  const under = (x: number, y: number): number | undefined => {
    const place = placeAt(x, y);
    if (!characters?.count || place?.node !== node) return undefined;
    // a place is between two characters: the pointer is on one of them
    const near = characters.ofUnit(place.offset);
    return [near, near - 1].find((n) => n >= 0 && holds(rangeOf(n), x, y));
  };
  const onPointer = (event: PointerEvent) => onPoint(under(event.clientX, event.clientY));
  frame.addEventListener("pointermove", onPointer);
  frame.addEventListener("pointerleave", () => onPoint(undefined));
  frame.addEventListener("click", ({ clientX, clientY }) => {
    const character = under(clientX, clientY);
    if (character !== undefined) onChoose(character);
  });
  frame.addEventListener("keydown", (event) => {
    if (!characters?.count || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = moved(event.key, chosen());
    if (next === undefined) return;
    event.preventDefault();
    onChoose(Math.max(0, Math.min(characters.count - 1, next)));
  });

  /** Where a key leads from a character. */
  function moved(key: string, from: number): number | undefined {
    switch (key) {
      case "ArrowLeft":
      case "ArrowRight":
        return from +
          (isRightToLeft(characters!, from) === (key === "ArrowLeft") ? 1 : -1);
      case "ArrowUp":
      case "ArrowDown": {
        reveal(frame, rangeOf(from));
        const { left, right, top, bottom, height } = rangeOf(from)
          .getBoundingClientRect();
        const y = key === "ArrowUp" ? top - height / 2 : bottom + height / 2;
        return under((left + right) / 2, y) ??
          from + (key === "ArrowUp" ? -1 : 1);
      }
      case "Home":
        return 0;
      case "End":
        return characters!.count - 1;
    }
    return undefined;
  }

  return {
    element: frame,
    show(next) {
      characters = next;
      node.data = next.text;
      for (let level = 1; level <= LEVELS; level++) {
        CSS.highlights.delete(`attention-${level}`);
      }
      CSS.highlights.delete(CHOSEN);
      frame.scrollTop = 0;
    },
    color(strengths) {
      const most = strengths.reduce((a, b) => Math.max(a, b), 1e-9);
      const levels = Uint8Array.from(strengths, (x) => Math.round(LEVELS * Math.sqrt(x / most)));
      const found = Array.from({ length: LEVELS + 1 }, () => new Highlight());
      for (let first = 0, end = 0; first < levels.length; first = end) {
        while (end < levels.length && levels[end] === levels[first]) end++;
        if (levels[first]! > 0) found[levels[first]!]!.add(rangeOf(first, end));
      }
      found.forEach((highlight, n) => n > 0 && CSS.highlights.set(`attention-${n}`, highlight));
    },
    mark(character, show) {
      const range = rangeOf(character), highlight = new Highlight(range);
      highlight.priority = 1;
      CSS.highlights.set(CHOSEN, highlight);
      if (show) reveal(frame, range);
    },
  };
}

/** Scrolls a frame so that a range in it is seen; the page stays where it is. */
function reveal(frame: HTMLElement, range: Range): void {
  const part = range.getBoundingClientRect(), all = frame.getBoundingClientRect();
  if (part.top < all.top) frame.scrollTop -= all.top - part.top + part.height;
  if (part.bottom > all.bottom) {
    frame.scrollTop += part.bottom - all.bottom + part.height;
  }
}

function holds(range: Range, x: number, y: number): boolean {
  return [...range.getClientRects()].some(({ left, right, top, bottom }) =>
    x >= left && x <= right && y >= top - BETWEEN && y <= bottom + BETWEEN
  );
}

/** The place between two characters that is nearest to a point. */
function placeAt(x: number, y: number): { node: Node; offset: number } | undefined {
  if (document.caretPositionFromPoint) {
    const place = document.caretPositionFromPoint(x, y);
    return place ? { node: place.offsetNode, offset: place.offset } : undefined;
  }
  const range = document.caretRangeFromPoint(x, y); // older browsers
  return range ? { node: range.startContainer, offset: range.startOffset } : undefined;
}

/** Whether the line of a character runs from right to left: its first letter with a direction decides. */
function isRightToLeft(characters: Characters, character: number): boolean {
  const place = characters.unitsOf(character)[0], { text } = characters;
  const line = text.slice(text.lastIndexOf("\n", place - 1) + 1).split("\n", 1)[0]!;
  const letter = line.match(/\p{L}/u)?.[0] ?? "";
  return /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u
    .test(letter);
}
