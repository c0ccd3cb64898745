// A chart: drawn again when its width, its data or the colours of the page change.
import { element, fill } from "./elements.ts";
import { errorBox } from "./error_box.ts";
import { onTheme } from "./theme.ts";

/** The marks of Observable Plot that the page has. */
export type Plot = typeof import("./plot.ts");

/** A chart in the page. */
export interface Chart {
  readonly element: HTMLElement;
  /** Draws it again, with the next frame: call it whenever data have changed. */
  readonly update: () => void;
}

/** Colours are custom properties, which follow the theme without being drawn again. */
export const COLORS = {
  ink: "var(--ink)",
  soft: "var(--ink-soft)",
  rule: "var(--rule)",
  paper: "var(--paper)",
  accent: "var(--accent)",
  other: "var(--other)",
  series: [
    "var(--series-1)",
    "var(--series-2)",
    "var(--series-3)",
    "var(--series-4)",
  ],
} as const;

/** What every plot of the page has in common; put it first into the options of `plot`. */
export function plotDefaults(
  width: number,
): { width: number; style: Record<string, string>; marginTop: number } {
  return {
    width,
    marginTop: 28,
    style: {
      fontFamily: "inherit",
      fontSize: "13px",
      background: "transparent",
      color: "var(--ink-soft)",
      overflow: "visible",
    },
  };
}

/**
 * A figure whose picture `draw` makes with Plot for a width in CSS pixels. `caption` is a heading of a few words; what the
 * picture shows is said by `label`, for those who do not see it (give the numbers in a table as well). `draw` returns
 * undefined while there is nothing to show, and the figure then has the text `empty`.
 */
export function chart(
  { caption, label, empty = "", draw }: {
    readonly caption: string;
    readonly label: () => string;
    readonly empty?: string;
    readonly draw: (plot: Plot, width: number) => Element | undefined;
  },
): Chart {
  const picture = element("div", { class: "chart-picture", role: "img" });
  const figure = element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, caption),
    picture,
  );
  let plot: Plot | undefined, failed = false, width = 0, asked = false;
  const paint = () => {
    asked = false;
    if (!plot || width === 0) return;
    picture.setAttribute("aria-label", label());
    const drawn = draw(plot, width);
    // the picture has one label, and its parts have none of their own
    for (const part of drawn?.querySelectorAll("[aria-label], [aria-description]") ?? []) {
      part.removeAttribute("aria-label");
      part.removeAttribute("aria-description");
    }
    drawn?.setAttribute("aria-hidden", "true");
    fill(picture, drawn ?? element("p", { class: "chart-empty" }, empty));
  };
  const update = () => {
    if (asked || failed) return;
    asked = true;
    requestAnimationFrame(paint);
  };
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry!.contentRect.width);
    if (now === width) return;
    width = now;
    update();
  }).observe(figure);
  onTheme(update);
  import("./plot.ts").then((loaded) => {
    plot = loaded;
    update();
  }, (error) => {
    failed = true;
    fill(
      picture,
      errorBox(error, "The part of the page that draws charts did not load."),
    );
  });
  return { element: figure, update };
}
