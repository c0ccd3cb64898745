/**
 * Figures as SVG, drawn by Observable Plot on a document that needs no browser. They have a title and
 * a description for those who cannot see them, and run no script.
 * @module
 */

import { plot, type PlotOptions } from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { FIGURE_STYLE, INK, PAGE } from "./palette.ts";
import { PngCanvas } from "./png_canvas.ts";

/** Options of a plot whose result is one `<svg>`. */
export type SvgPlotOptions = Omit<PlotOptions, "title" | "subtitle" | "caption" | "document">;

export interface FigureOptions extends SvgPlotOptions {
  /** What is shown, in a few words: drawn by the caller, if at all. */
  readonly label: string;
  /** What it says, for those who cannot see it. */
  readonly description: string;
  /** A small plot inside, such as a scale of colours, and where, in pixels from the top left. */
  readonly inside?: { readonly x: number; readonly y: number; readonly options: SvgPlotOptions };
}

/** An `<svg>` element without a style sheet: `svgFile` and pages bring that of all figures. */
export interface Figure {
  readonly label: string;
  readonly description: string;
  readonly width: number;
  readonly height: number;
  readonly markup: string;
}

/** What is used of an element here; the types of a browser's document are not at hand. */
interface Element {
  readonly tagName: string;
  readonly outerHTML: string;
  readonly firstChild: Element | null;
  textContent: string;
  getAttribute(name: string): string | null;
  setAttribute(name: string, value: string): void;
  insertBefore(child: Element, before: Element | null): void;
  querySelectorAll(selector: string): Iterable<Element>;
  remove(): void;
}
interface Document {
  createElement(name: string): unknown;
  createElementNS(namespace: string, name: string): Element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A fresh one for each figure, whose canvases write PNG. */
function newDocument(): Document {
  const { document } = parseHTML("<html><body></body></html>") as unknown as { document: Document };
  const create = document.createElement.bind(document);
  document.createElement = (name) => name === "canvas" ? new PngCanvas() : create(name);
  return document;
}

/** Draws a plot. Marks take their colours from the palette, so that they have a dark twin. */
export function drawFigure({ label, description, inside, ...options }: FigureOptions): Figure {
  const document = newDocument();
  const draw = (options: SvgPlotOptions) =>
    plot({ className: "plot", ...options, document: document as never }) as unknown as Element;
  const svg = draw(options);
  if (svg.tagName.toLowerCase() !== "svg") { // legends make Plot wrap its drawing in HTML
    throw new TypeError(`Cannot draw "${label}": expected an <svg>, Plot made <${svg.tagName}>`);
  }
  if (inside) {
    const inner = draw(inside.options);
    for (const name of ["x", "y"] as const) inner.setAttribute(name, `${inside[name]}`);
    svg.insertBefore(inner, null);
  }
  for (const style of svg.querySelectorAll("style")) style.remove(); // FIGURE_STYLE is for all
  const page = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: PAGE })) {
    page.setAttribute(name, value);
  }
  svg.insertBefore(page, svg.firstChild);
  for (const [name, text] of Object.entries({ desc: description, title: label })) {
    const told = document.createElementNS(SVG, name);
    told.textContent = text;
    svg.insertBefore(told, svg.firstChild);
  }
  for (const [name, value] of Object.entries({ xmlns: SVG, role: "img", color: INK })) {
    svg.setAttribute(name, value);
  }
  const size = (name: string) => Number(svg.getAttribute(name));
  const markup = svg.outerHTML;
  return { label, description, width: size("width"), height: size("height"), markup };
}

/** The text of an SVG file, which can be opened alone or be an image of a page. */
export function svgFile(figure: Figure): string {
  const end = figure.markup.indexOf(">") + 1;
  const style = `<style>\n${FIGURE_STYLE}\n</style>`;
  return `${figure.markup.slice(0, end)}${style}${figure.markup.slice(end)}\n`;
}
