/** Several texts that are written at once, printed one after the other. */
import type { EndReason } from "./text_request.ts";

/** The first text is printed as it comes, the others when it is their turn. */
export class InOrder {
  /** What made a text end early. */
  error: Error | undefined;
  readonly #write: (text: string) => void;
  readonly #held: string[];
  readonly #ended: boolean[];
  #current = 0;

  constructor(count: number, write: (text: string) => void) {
    this.#write = write;
    this.#held = new Array(count).fill("");
    this.#ended = new Array(count).fill(false);
  }

  /** A piece of a text. */
  print(text: number, piece: string): void {
    if (text === this.#current) this.#write(piece);
    else this.#held[text] += piece;
  }

  /** No more of a text will come. */
  end(text: number, reason: EndReason | Error): void {
    if (reason instanceof Error) this.error ??= reason;
    this.#ended[text] = true;
    while (this.#ended[this.#current]) {
      const next = ++this.#current < this.#held.length;
      this.#write(next ? `\n\n${this.#held[this.#current]}` : "\n");
    }
  }
}
