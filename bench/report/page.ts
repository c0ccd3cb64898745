/**
 * A report as one page of HTML: figures inline, a table under each, no script, nothing to fetch. It is
 * well-formed XML too, so that tests read it strictly.
 * @module
 */

import { FIGURE_STYLE } from "../../tools/plot/palette.ts";
import { densityChapter } from "./density.ts";
import type { Chapter, Exhibit } from "./exhibit.ts";
import { linformerChapter } from "./linformer.ts";
import { memoryChapter } from "./memory.ts";
import { rooflineChapter } from "./roofline.ts";
import { origins, type Source } from "./source.ts";
import { speedChapter } from "./speed.ts";
import { threadsChapter } from "./threads.ts";

export const CHAPTERS: readonly Chapter[] = [
  rooflineChapter,
  speedChapter,
  densityChapter,
  threadsChapter,
  memoryChapter,
  linformerChapter,
];

const STYLE = `
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 760px; margin: 2rem auto; padding: 0 1rem }
body { color: #1f2430; background: #ffffff }
figure { margin: 1.5rem 0 2.5rem }
figcaption { margin: .5rem 0; font-size: 13px }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #8886 }
th:first-child, td:first-child { text-align: left }
.wide { overflow-x: auto }
a { color: inherit }
@media (prefers-color-scheme: dark) { body { color: #e8eaf0; background: #14171d } }
${FIGURE_STYLE}`;

/** The page; `made` is when, for its head. */
export function reportPage(source: Source, made: string): string {
  const chapters = CHAPTERS.map((chapter) => ({ chapter, exhibits: chapter.exhibits(source) }));
  const links = CHAPTERS.map(({ id, title }) => `<li><a href="#${id}">${escape(title)}</a></li>`);
  return [
    "<!DOCTYPE html>",
    '<html lang="en">',
    '<head><meta charset="utf-8"/><meta name="viewport" content="width=device-width"/>',
    `<title>flashtile: what was measured</title><style>${STYLE}</style></head>`,
    "<body><h1>flashtile: what was measured</h1>",
    `<p>Made ${escape(made)} of the newest rows of each machine. Times are medians of contenders ` +
    "that took turns in one run; bench/README.md says what each figure means.</p>",
    `<nav><ul>${links.join("")}</ul></nav>`,
    ...chapters.map(({ chapter, exhibits }) => chapterHtml(chapter, exhibits)),
    "</body></html>\n",
  ].join("\n");
}

function chapterHtml({ id, title, about, command }: Chapter, exhibits: readonly Exhibit[]): string {
  const none = `<p>Not measured: <code>${escape(command)}</code></p>`;
  return [
    `<section id="${id}"><h2>${escape(title)}</h2>`,
    `<p>${escape(about)}</p>`,
    ...exhibits.length ? exhibits.map(exhibitHtml) : [none],
    "</section>",
  ].join("\n");
}

function exhibitHtml({ name, figure, head, table, rows }: Exhibit): string {
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;
  const made = origins(rows).map((run) => `<li>${escape(run)}</li>`).join("");
  return [
    `<figure><h3>${escape(name)}</h3>`,
    figure.markup,
    `<figcaption>${escape(figure.label)}. Measured:<ul>${made}</ul></figcaption>`,
    '<details><summary>The figures</summary><div class="wide"><table>',
    `<thead>${row(head, "th")}</thead><tbody>`,
    ...table.map((cells) => row(cells, "td")),
    "</tbody></table></div></details></figure>",
  ].join("\n");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

function escape(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => ENTITIES[character]!);
}
