/** What masks leave out should cost nothing. */

import { line } from "@observablehq/plot";
import { QUIET } from "../../tools/plot/palette.ts";
import { milliseconds, percent, times } from "../measure/table.ts";
import type { Chapter, Exhibit } from "./exhibit.ts";
import { lineChart } from "./line_chart.ts";
import { byMachine, newest, number, type OnMachine } from "./source.ts";

export const densityChapter: Chapter = {
  id: "density",
  title: "Time against the density of a mask",
  about: "Time of a call over the time without a mask, both axes logarithmic. On the dashed line " +
    "hidden scores cost nothing at all.",
  command: "deno task bench --only=density --store",
  exhibits: (source) => byMachine(source("density")).map(exhibit),
};

/** `blocks 8/32` is one of `blocks`. */
function familyOf(pattern: string): string {
  if (pattern.startsWith("band")) return "window";
  return pattern.startsWith("block mask")
    ? "blocks, as a block mask"
    : "blocks, as bytes of a mask";
}

function exhibit({ name, rows: all }: OnMachine): Exhibit {
  const rows = newest(all, ["case", "pass", "pattern"]);
  const points = rows.map(({ row }) => {
    const density = number(row, "density"), over = number(row, "overProportional");
    const title = `${row.pattern}, ${row.pass}: ${percent(density)} visible, ${times(over)}`;
    const [series, panel] = [familyOf(String(row.pattern)), String(row.pass)];
    return { x: density, y: density * over, series, panel, title };
  });
  const least = Math.min(...points.map(({ x }) => x)) * 0.8;
  const figure = lineChart({
    label: `Time over the visible share, ${name}`,
    description: points.map(({ title }) => title).join("; "),
    points,
    x: {
      label: "visible share of the scores",
      type: "log",
      ticks: [0.05, 0.1, 0.25, 0.5, 1],
      tickFormat: percent,
    },
    y: {
      label: "time, of that without a mask",
      type: "log",
      ticks: [0.05, 0.1, 0.25, 0.5, 1],
      tickFormat: percent,
    },
    marks: [
      line([least, 1], { x: (x) => x, y: (x) => x, stroke: QUIET, strokeDasharray: "6 4" }),
    ],
  });
  const head = ["pattern", "pass", "visible", "time", "over proportional"];
  const table = rows.map(({ row }) => [
    ...[String(row.pattern), String(row.pass), percent(number(row, "density"))],
    ...[milliseconds(number(row, "medianMs")), times(number(row, "overProportional"))],
  ]);
  return { name, figure, head, table, rows };
}
