// What the page sends.

/** One line. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What there is to say about a success, or what is wrong. */
  readonly text: string;
  readonly seconds: number;
}
