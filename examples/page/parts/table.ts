// Tables that scroll sideways rather than the page.
import { type Child, element } from "./elements.ts";

/** A table with a caption; the first cell of a row is its heading. Columns of numbers line up on the right. */
export function table(
  caption: string,
  head: readonly Child[],
  rows: readonly (readonly Child[])[],
): HTMLElement {
  const cells = (row: readonly Child[]) =>
    row.map((cell, n) => n === 0 ? element("th", { scope: "row" }, cell) : element("td", {}, cell));
  return element(
    "div",
    {
      class: "table-frame",
      tabindex: 0,
      role: "region",
      "aria-label": caption,
    },
    element(
      "table",
      {},
      element("caption", {}, caption),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          ...head.map((cell) => element("th", { scope: "col" }, cell)),
        ),
      ),
      element(
        "tbody",
        {},
        ...rows.map((row) => element("tr", {}, ...cells(row))),
      ),
    ),
  );
}
