// Characters and shares in words.
import { digits3 } from "../../parts/words.ts";

/** Shares below this are not listed. */
export const SMALL = 0.001;

/** A share in words. */
export function percent(share: number): string {
  return share < SMALL ? "< 0.1 %" : `${digits3(100 * share)} %`;
}

/** A character for a list: what is not seen gets a sign that is. */
export function visible(character: string): string {
  switch (character) {
    case " ":
      return "␣";
    case "\n":
    case "\r\n":
      return "⏎";
    case "\t":
      return "⇥";
    default:
      return /^\p{Cc}+$/u.test(character) ? "·" : character;
  }
}
