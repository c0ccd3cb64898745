/**
 * A figure's file read back by a strict parser of XML: what is not well-formed throws.
 * @module
 */

import { DOMParser } from "@xmldom/xmldom";

/** One element and where it stands. */
export interface Found {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly text: string;
}

/** All elements of a text of XML, in document order. */
export function readXml(text: string): Found[] {
  const onError = (level: string, message: string) => {
    throw new SyntaxError(`${level}: ${message}`);
  };
  const bare = /&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);).{0,20}/i.exec(text)?.[0];
  if (bare) throw new SyntaxError(`an ampersand that is none of XML: ${bare}`); // it lets them pass
  const read = new DOMParser({ onError }).parseFromString(text, "text/xml");
  return [...read.getElementsByTagName("*")].map((element) => ({
    name: element.tagName,
    attributes: Object.fromEntries([...element.attributes].map(({ name, value }) => [name, value])),
    text: element.textContent ?? "",
  }));
}

/** The same of an SVG file; throws where an attribute that places something is no number. */
export function readSvg(text: string): Found[] {
  const found = readXml(text);
  for (const { name, attributes } of found) {
    for (const [attribute, value] of Object.entries(attributes)) {
      if (/^(NaN|undefined|null|Infinity|-Infinity)$|[\s,(MLHVZ](NaN|Infinity)/.test(value)) {
        throw new RangeError(`<${name}> has ${attribute}="${value}"`);
      }
    }
  }
  if (found[0]?.name !== "svg") throw new TypeError(`expected <svg>, found <${found[0]?.name}>`);
  return found;
}
