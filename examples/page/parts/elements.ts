// Making elements. Text is set as text, never parsed.

/** What an element may be given beside its children: attributes, and listeners by the name of their event. */
export interface Attributes {
  readonly on?: Readonly<Record<string, (event: Event) => void>>;
  readonly [name: string]:
    | string
    | number
    | boolean
    | undefined
    | Readonly<Record<string, (event: Event) => void>>;
}

/** What may stand inside of an element. */
export type Child = Node | string | number | undefined;

/** An element with its attributes and children. `true` sets an attribute that has no value, `false` and undefined none. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false || typeof value === "object") {
      continue;
    }
    made.setAttribute(key, value === true ? "" : String(value));
  }
  for (const [event, listener] of Object.entries(attributes.on ?? {})) {
    made.addEventListener(event, listener);
  }
  fill(made, ...children);
  return made;
}

/** Replaces what is inside of an element. */
export function fill(target: Element, ...children: readonly Child[]): void {
  const nodes = children.filter((child) => child !== undefined);
  target.replaceChildren(
    ...nodes.map((child) => typeof child === "number" ? `${child}` : child),
  );
}

let made = 0;

/** A name that no other element has: labels and descriptions refer to elements by it. */
export function uniqueId(prefix: string): string {
  return `${prefix}-${++made}`;
}
