/**
 * The colours of all plots. A figure is written in the light ones, which every viewer shows; a style
 * sheet puts the dark one in the place of each where the reader prefers dark.
 * @module
 */

/** What a plot is drawn on and in. */
export const PAGE = "#ffffff", INK = "#1f2430", QUIET = "#5d6675", GRID = "#e1e5ec";
/** Areas that hold nothing: masked cells, and the like. */
export const EMPTY = "#eceef3";

export const BLUE = "#1b5fc1", ORANGE = "#cf5a16", GREEN = "#0f8a67", PURPLE = "#8b3fae";
export const OLIVE = "#8a6d00", PINK = "#c02f63", TEAL = "#0a7c93", GREY = "#6b7280";
/** Series in the order in which they are drawn; the first is what matters most. */
export const SERIES: readonly string[] = [BLUE, ORANGE, GREEN, PURPLE, OLIVE, PINK, TEAL, GREY];
/** A series that is the background of another: single steps behind their mean. */
export const FAINT = "#b9d0ee";

const DARK: ReadonlyMap<string, string> = new Map([
  [PAGE, "#14171d"],
  [INK, "#e8eaf0"],
  [QUIET, "#9ca5b4"],
  [GRID, "#2c323d"],
  [EMPTY, "#232831"],
  [FAINT, "#2d4a70"],
  [BLUE, "#73adff"],
  [ORANGE, "#ff9d66"],
  [GREEN, "#4cc9a2"],
  [PURPLE, "#d294ec"],
  [OLIVE, "#dcbb50"],
  [PINK, "#f58bb1"],
  [TEAL, "#5cc6db"],
  [GREY, "#a9b1bf"],
]);

/** The style sheet of figures, for a file of its own or for a page with many. */
export const FIGURE_STYLE: string = [
  `.plot { color: ${INK}; max-width: 100%; height: auto }`,
  ".plot text { white-space: pre }",
  "@media (prefers-color-scheme: dark) {",
  `  .plot { color: ${DARK.get(INK)} }`,
  ...[...DARK].flatMap(([light, dark]) =>
    ["fill", "stroke"].map((of) => `  .plot [${of}="${light}"] { ${of}: ${dark} }`)
  ),
  "}",
].join("\n");
