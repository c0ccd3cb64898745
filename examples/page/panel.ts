// What a panel of the page is, and what the page gives to it.
import type { Engine } from "@flashtile/attention";

/** What panels share. */
export interface Page {
  /** The page's engine ("auto"), made once. */
  engine(): Promise<Engine>;
  /** One engine of each backend that this machine has, made once; the CPU's first. */
  engines(): Promise<readonly Engine[]>;
  /** Says a short sentence to screen readers (a polite live region). */
  announce(text: string): void;
}

/** A section of the page. */
export interface Panel {
  /** Its place: the part of the address behind "#". */
  readonly id: string;
  readonly title: string;
  /** One or two sentences under the title. */
  readonly intro: string;
  /** Builds the panel inside its section. Errors that it throws or rejects with are shown in the section, in words. */
  mount(element: HTMLElement, page: Page): void | Promise<void>;
}
