/** An approximation beside exact attention: how fast it is, and how far off. */

import { barX, gridX, text } from "@observablehq/plot";
import { drawFigure } from "../../tools/plot/figure.ts";
import { BLUE, GRID, ORANGE, PAGE } from "../../tools/plot/palette.ts";
import { milliseconds, percent, times } from "../measure/table.ts";
import type { Chapter, Exhibit } from "./exhibit.ts";
import { lengths, lineChart, logTicks } from "./line_chart.ts";
import { byMachine, newest, number, type OnMachine } from "./source.ts";

const NAMES: Readonly<Record<string, string>> = {
  "linformer": "Linformer, 256 rows",
  "near blocks": "exact, 4 blocks of 128 keys",
};

export const linformerChapter: Chapter = {
  id: "linformer",
  title: "Beside an approximation",
  about:
    "Linformer projects keys and values to 256 rows and attends to those; exact attention to " +
    "the four nearest blocks of 128 keys takes as many operations. Both beside exact attention to " +
    "all keys, without a mask. The errors are root mean squares, relative to the exact results, on " +
    "q, k and v of the demo's byte model and text that it was not trained on. Random projections " +
    "are where training would start; learned ones were fitted to the exact results of this model, " +
    "which stayed as it was.",
  command: "deno task bench --only=linformer,linformer_error --store",
  exhibits: (source) => [
    ...byMachine(source("linformer")).map(speed),
    ...byMachine(source("linformer-error")).map(errors),
  ],
};

function speed({ name: machine, rows: all }: OnMachine): Exhibit {
  const rows = newest(all, ["case", "contender"]), name = `Speed, ${machine}`;
  const points = rows.filter(({ row }) => row.contender !== "exact").map(({ row }) => {
    const x = number(row, "length"), y = number(row, "gain");
    const series = NAMES[String(row.contender)] ?? String(row.contender);
    return { x, y, series, title: `${series}, length ${x}: ${times(y)}` };
  });
  const figure = lineChart({
    label: `${name}: how much faster than exact attention to all keys`,
    description: points.map(({ title }) => title).join("; "),
    ...{ points, x: lengths(points) },
    y: {
      label: "times as fast as exact attention to all keys",
      type: "log",
      tickFormat: "~g",
      ticks: logTicks([1, ...points.map(({ y }) => y)]),
    },
    references: [{ y: 1, text: "as fast" }],
  });
  const table = rows.map(({ row }) => [
    ...[`${row.length}`, NAMES[String(row.contender)] ?? "exact, all keys"],
    ...[milliseconds(number(row, "medianMs")), times(number(row, "gain"))],
    ...[percent(number(row, "spread"))],
  ]);
  const head = ["length", "what", "time", "faster by", "spread"];
  return { name, figure, head, table, rows };
}

function errors({ name: machine, rows: all }: OnMachine): Exhibit {
  const rows = newest(all, ["length", "approximation", "layer"]), name = `Error, ${machine}`;
  const bars = rows.map(({ row }) => ({
    ...{ length: number(row, "length"), approximation: String(row.approximation) },
    ...{ layer: number(row, "layer") + 1, error: number(row, "error") },
  })).map((bar) => ({ ...bar, y: `${bar.approximation}, layer ${bar.layer}` }));
  const titleOf = ({ length, y, error }: typeof bars[number]) =>
    `length ${length}, ${y}: ${percent(error)}`;
  const count = new Set(bars.map(({ length }) => length)).size;
  const each = new Set(bars.map(({ y }) => y)).size;
  // beyond it a result has nothing to do with the exact one: longer bars would hide the others
  const most = 1;
  const figure = drawFigure({
    label: `${name}: distance from exact attention`,
    description: bars.map(titleOf).join("; "),
    ...{ width: 720, height: 50 + count * (22 * each + 14), style: { fontSize: "12px" } },
    ...{ marginLeft: 210, marginTop: 12, marginRight: 70, marginBottom: 40 },
    x: { domain: [0, most], label: "relative error", tickFormat: percent, labelArrow: "none" },
    y: { label: null },
    fy: { label: null, tickFormat: (n: number) => `L ${n}` },
    marks: [
      gridX({ stroke: GRID, strokeOpacity: 1 }),
      barX(bars, {
        ...{ fy: "length", y: "y", x: ({ error }) => Math.min(error, most), title: titleOf },
        fill: ({ approximation }) => approximation.startsWith("Linformer") ? ORANGE : BLUE,
        ...{ insetTop: 2, insetBottom: 2 },
      }),
      text(bars, {
        ...{ fy: "length", y: "y", x: ({ error }) => Math.min(error, most), dx: -4 },
        ...{
          text: ({ error }) => error > most ? percent(error) : "",
          textAnchor: "end",
          fill: PAGE,
        },
      }),
    ],
  });
  const head = ["length", "approximation", "layer", "error", "on the text fitted to"];
  const table = bars.map(({ length, approximation, layer, error }, n) => [
    ...[`${length}`, approximation, `${layer}`, percent(error)],
    percent(number(rows[n]!.row, "errorSeen")),
  ]);
  return { name, figure, head, table, rows };
}
