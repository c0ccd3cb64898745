/** Memory over the length, beside other libraries. */

import { line } from "@observablehq/plot";
import { QUIET } from "../../tools/plot/palette.ts";
import { caseNamed } from "../cases.ts";
import type { StoredRow } from "../measure/store.ts";
import { mebibytes } from "../measure/table.ts";
import type { Chapter, Exhibit } from "./exhibit.ts";
import { lengths, lineChart, logTicks } from "./line_chart.ts";
import { byMachine, newest, number, type OnMachine, type Source } from "./source.ts";

const MIB = 2 ** 20;
/** Of scores in float32, in MiB. */
const matrix = (length: number): number => 4 * length * length / MIB;
/** Tasks of the comparison with others, in words. */
const TASKS: Readonly<Record<string, string>> = { forward: "forward", step: "with gradients" };

export const memoryChapter: Chapter = {
  id: "memory",
  title: "Memory over the length",
  about:
    "One head (four at 4096, of which an engine holds one at a time), D 64, both axes logarithmic: the WebAssembly memory of an engine after a call, " +
    "and how much a whole process grows in one, here and with other libraries. The dashed line is " +
    "one matrix of scores. Libraries that fail at a length have no mark there.",
  command: "deno task bench --only=memory --store; deno task bench:peers --only=memory --store",
  exhibits: (source) => byMachine(source("memory")).map((on) => exhibit(on, source)),
};

interface Held {
  readonly from: StoredRow;
  readonly length: number;
  readonly series: string;
  readonly bytes: number;
  readonly failed: boolean;
}

function exhibit({ name, rows }: OnMachine, source: Source): Exhibit {
  const peers = byMachine(source("peers")).find((on) => on.name === name)?.rows ?? [];
  const lengthOf = ({ row }: StoredRow) => caseNamed(String(row.case)).lengthK;
  const held = [
    ...newest(rows, ["case", "pass"]).map((from): Held => ({
      ...{ from, length: lengthOf(from), series: `engine, ${from.row.pass}`, failed: false },
      bytes: number(from.row, "wasmBytes"),
    })),
    ...newest(peers.filter(({ row }) => row.section === "memory"), ["case", "task", "contender"])
      .map((from): Held => {
        const { contender, task } = from.row, failed = from.row.failed !== null;
        const who = String(contender).replace("/std", "").replace(/-wasm\/.*|\/(wasm|mha)$/, "");
        const series = `process, ${who}, ${TASKS[String(task)] ?? task}`;
        return {
          from,
          length: lengthOf(from),
          series,
          bytes: number(from.row, "peakBytes"),
          failed,
        };
      }),
  ];
  const known = held.filter(({ bytes, failed }) => bytes > 0 && !failed);
  const points = known.map(({ length, series, bytes }) => ({
    ...{ x: length, y: bytes / MIB, series },
    title: `${series}, length ${length}: ${mebibytes(bytes)}`,
  }));
  const x = lengths(points), ticks = x.ticks as number[];
  const figure = lineChart({
    label: `Memory over the length, ${name}`,
    description: points.map(({ title }) => title).join("; "),
    ...{ points, x },
    y: {
      ...{ label: "MiB", type: "log", tickFormat: "~g" },
      ticks: logTicks([...points.map(({ y }) => y), matrix(ticks.at(-1)!)]),
    },
    marks: [
      line([ticks[0]!, ticks.at(-1)!], {
        ...{ x: (n) => n, y: matrix, stroke: QUIET, strokeDasharray: "6 4" },
      }),
    ],
  });
  const table = held.sort((a, b) => a.length - b.length).map((
    { series, length, bytes, failed },
  ) => [
    ...[series, `${length}`, failed ? "fails" : mebibytes(bytes), mebibytes(MIB * matrix(length))],
  ]);
  const head = ["what", "length", "memory", "one matrix of scores"];
  return { name, figure, head, table, rows: held.map(({ from }) => from) };
}
