/**
 * Writes the plots that docs/performance.md shows, from what is stored:
 * `deno run -A bench/report/pictures.ts`.
 * @module
 */

import { svgFile } from "../../tools/plot/figure.ts";
import { storedRows } from "../measure/store.ts";
import { linformerChapter } from "./linformer.ts";
import { speedChapter } from "./speed.ts";

for (const chapter of [speedChapter, linformerChapter]) {
  const file = new URL(`../../docs/pictures/${chapter.id}.svg`, import.meta.url);
  const [first] = chapter.exhibits(storedRows);
  if (!first) throw new Error(`Cannot draw ${chapter.id}: nothing is stored, ${chapter.command}`);
  await Deno.writeTextFile(file, svgFile(first.figure));
  console.log(`${first.name}: ${file.pathname}`);
}
