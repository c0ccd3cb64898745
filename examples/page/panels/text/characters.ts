/**
 * A text as people see it and as the model reads it: characters (grapheme clusters, Unicode Standard Annex 29) and the
 * UTF-8 bytes of each, of which every one is a token.
 */

/** Bytes that one character may look at or be looked at through: `[first, end)`. */
export type Range = readonly [first: number, end: number];

/** A text cut into characters. */
export class Characters {
  readonly text: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly count: number;
  /** Where each character begins among the bytes and among the UTF-16 units of the text; one more at the end. */
  readonly #starts: Int32Array;
  readonly #units: Int32Array;
  /** The character that each byte belongs to. */
  readonly ofByte: Int32Array;

  constructor(text: string) {
    this.text = text.toWellFormed(); // half of a pair has no bytes of its own
    const encoder = new TextEncoder(), starts = [0], units = [0];
    this.bytes = encoder.encode(this.text);
    this.ofByte = new Int32Array(this.bytes.length);
    let at = 0;
    for (const { segment, index } of new Intl.Segmenter().segment(this.text)) {
      const end = at + utf8Length(segment);
      this.ofByte.fill(starts.length - 1, at, end);
      at = end;
      starts.push(end);
      units.push(index + segment.length);
    }
    this.count = starts.length - 1;
    this.#starts = Int32Array.from(starts);
    this.#units = Int32Array.from(units);
  }

  /** The bytes of a character. */
  bytesOf(character: number): Range {
    return [this.#starts[character]!, this.#starts[character + 1]!];
  }

  /** The UTF-16 units of a character, as places in the text. */
  unitsOf(character: number): Range {
    return [this.#units[character]!, this.#units[character + 1]!];
  }

  /** The character itself. */
  at(character: number): string {
    return this.text.slice(...this.unitsOf(character));
  }

  /** The character that the UTF-16 unit at a place belongs to; the last one behind the end. */
  ofUnit(place: number): number {
    let low = 0, high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#units[middle]! <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The characters around one, for a line of text: those before it, itself, those after it. */
  around(character: number, side: number): [before: string, self: string, after: string] {
    const [first, end] = this.unitsOf(character);
    const from = this.#units[Math.max(0, character - side)]!;
    const to = this.#units[Math.min(this.count, character + side + 1)]!;
    return [this.text.slice(from, first), this.text.slice(first, end), this.text.slice(end, to)];
  }

  /** The text of the characters that a range of bytes touches. */
  textOf([first, end]: Range): string {
    if (end <= first) return "";
    const from = this.unitsOf(this.ofByte[first]!)[0], to = this.unitsOf(this.ofByte[end - 1]!)[1];
    return this.text.slice(from, to);
  }

  /** Sums or means of a number of each byte over the bytes of each character. */
  join(ofBytes: Float32Array, how: "sum" | "mean"): Float32Array {
    return Float32Array.from({ length: this.count }, (_, character) => {
      const [first, end] = this.bytesOf(character);
      let sum = 0;
      for (let n = first; n < end; n++) sum += ofBytes[n]!;
      return how === "sum" ? sum : sum / (end - first);
    });
  }
}

function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}
