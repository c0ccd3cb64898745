/** Ends a text at the first of a few strings, which are not part of it. */
export class StopTexts {
  readonly #stops: readonly string[];
  #held = "";

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** What of the text is certain by now; what may be the beginning of a stop is held back. */
  push(piece: string): { text: string; stopped: boolean } {
    const text = this.#held + piece;
    const at = Math.min(...this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0));
    if (at < Infinity) {
      this.#held = "";
      return { text: text.slice(0, at), stopped: true };
    }
    const cut = text.length - this.#longestBeginning(text);
    this.#held = text.slice(cut);
    return { text: text.slice(0, cut), stopped: false };
  }

  /** What was held back, when nothing follows. */
  end(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }

  /** The most characters at the end that begin a stop. */
  #longestBeginning(text: string): number {
    const longest = Math.max(0, ...this.#stops.map(({ length }) => length - 1));
    for (let count = Math.min(longest, text.length); count > 0; count--) {
      const end = text.slice(-count);
      if (this.#stops.some((stop) => stop.startsWith(end))) return count;
    }
    return 0;
  }
}
