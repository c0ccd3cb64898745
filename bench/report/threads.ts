/** What more threads gain, over the length. */

import { caseNamed } from "../cases.ts";
import { milliseconds, times } from "../measure/table.ts";
import type { Chapter, Exhibit } from "./exhibit.ts";
import { lengths, lineChart } from "./line_chart.ts";
import { byMachine, newest, number, type OnMachine } from "./source.ts";

export const threadsChapter: Chapter = {
  id: "threads",
  title: "Scaling over threads",
  about:
    "Time of the fewest threads over that of more, the same calls in turns, copies included. " +
    "The dashed line is all that so many threads could give.",
  command: "deno task bench --only=threads --store",
  exhibits: (source) => byMachine(source("threads")).map(exhibit),
};

function exhibit({ name, rows: all }: OnMachine): Exhibit {
  const rows = newest(all, ["case", "pass", "threads"]);
  const fewest = Math.min(...rows.map(({ row }) => number(row, "threads")));
  const points = rows.filter(({ row }) => row.threads !== fewest).map(({ row }) => {
    const { lengthK } = caseNamed(String(row.case)), y = number(row, "gain");
    const series = `${row.pass}, ${row.threads} threads`;
    return { x: lengthK, y, series, title: `${row.case}, ${series}: ${times(y)}` };
  });
  const counts = [...new Set(rows.map(({ row }) => number(row, "threads")))]
    .filter((count) => count > fewest);
  const figure = lineChart({
    label: `Scaling over threads, ${name}`,
    description: points.map(({ title }) => title).join("; "),
    ...{ points, x: lengths(points) },
    y: { label: `times as fast as ${fewest} thread`, domain: [1, Math.max(...counts) * 1.1] },
    references: counts.map((count) => ({ y: count / fewest, text: `${count} threads` })),
  });
  const table = rows.map(({ row }) => [
    ...[String(row.case), String(row.pass), `${row.threads}`],
    ...[milliseconds(number(row, "medianMs")), times(number(row, "gain"))],
  ]);
  return { name, figure, head: ["case", "pass", "threads", "time", "gain"], table, rows };
}
