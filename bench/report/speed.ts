/** Speed over the length, beside other libraries on a CPU and beside separate kernels on a GPU. */

import { caseNamed, forwardFlops } from "../cases.ts";
import type { StoredRow } from "../measure/store.ts";
import { digits3, milliseconds } from "../measure/table.ts";
import type { Chapter, Exhibit } from "./exhibit.ts";
import { lengths, lineChart } from "./line_chart.ts";
import { byMachine, newest, number, type OnMachine } from "./source.ts";

/** Graphs or entries of one library count as one contender: the fastest. */
const LIBRARIES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^flashtile/, "flashtile"],
  [/^onnxruntime-web/, "onnxruntime-web, best graph"],
  [/^tfjs/, "tfjs-wasm"],
  [/^jax/, "jax-js"],
  [/^onnxruntime-node/, "onnxruntime-node (native AVX-512)"],
  [/^unfused/, "three kernels, a score matrix"],
];

export const speedChapter: Chapter = {
  id: "speed",
  title: "Speed over the length",
  about:
    "The forward pass at D 64, float32, copies included on the CPU (one thread), resident on " +
    "a GPU. Operations of the masked half are not counted where attention is causal. A line that " +
    "ends early is a library that failed.",
  command: "deno task bench:peers --only=forward,causal --store",
  exhibits: (source) => [
    ...byMachine(source("peers")).flatMap((on) =>
      ["forward", "causal"].flatMap((task) => beside(peersOf(on, task), task === "causal"))
    ),
    ...byMachine(source("gpu-forward")).flatMap((on) =>
      [false, true].flatMap((causal) => beside(kernelsOf(on, causal), causal))
    ),
  ],
};

function peersOf({ name, rows }: OnMachine, task: string): OnMachine {
  const wanted = rows.filter(({ row }) =>
    row.section === task && row.task === task && row.threads === 1
  );
  return { name, rows: newest(wanted, ["case", "contender"]) };
}

function kernelsOf({ name, rows }: OnMachine, causal: boolean): OnMachine {
  const wanted = rows.filter(({ row }) => row.dtype === "f32" && row.causal === causal);
  return { name, rows: newest(wanted, ["case", "contender"]) };
}

function libraryOf({ row }: StoredRow): string {
  return LIBRARIES.find(([pattern]) => pattern.test(String(row.contender)))?.[1] ??
    String(row.contender);
}

function beside({ name: machine, rows: all }: OnMachine, causal: boolean): Exhibit[] {
  const rows = all.filter(({ row }) => caseNamed(String(row.case)).headDim === 64);
  const cases = [...new Set(rows.map(({ row }) => String(row.case)))].map(caseNamed)
    .sort((a, b) => a.lengthK - b.lengthK);
  if (cases.length < 2) return [];
  const names = LIBRARIES.map(([, name]) => name)
    .filter((library) => rows.some((row) => libraryOf(row) === library));
  const cells = cases.map((c) =>
    names.map((library) => {
      const of = rows.filter((row) => row.row.case === c.name && libraryOf(row) === library);
      const times = of.map(({ row }) => number(row, "medianMs")).filter(Number.isFinite);
      return { ran: of.length > 0, ms: times.length ? Math.min(...times) : NaN };
    })
  );
  const points = cases.flatMap((c, at) =>
    names.map((series, n) => {
      const { ms } = cells[at]![n]!, y = forwardFlops(c, causal) / ms / 1e6;
      const title = `${series}, length ${c.lengthK}: ${milliseconds(ms)}, ${digits3(y)} GFLOP/s`;
      return { x: c.lengthK, y, series, title };
    })
  ).filter(({ y }) => Number.isFinite(y));
  const pass = causal ? "Causal forward" : "Forward", name = `${pass}, ${machine}`;
  const ours = names.indexOf("flashtile");
  const figure = lineChart({
    label: `${name}: speed over the length`,
    description: cases.map((c, at) => {
      const of = names.map((library, n) => `${library} ${milliseconds(cells[at]![n]!.ms)}`);
      return `length ${c.lengthK}: ${of.join(", ")}`;
    }).join("; "),
    ...{ points, x: lengths(points) },
    y: { label: "GFLOP/s", domain: [0, Math.max(...points.map(({ y }) => y))], nice: true },
  });
  const table = cases.map((c, at) => [
    ...[c.name, `${c.lengthK}`],
    ...cells[at]!.map(({ ran, ms }, n) => {
      const gain = n === ours ? "" : ` (${(ms / cells[at]![ours]!.ms).toFixed(2)})`;
      return Number.isFinite(ms) ? milliseconds(ms) + gain : ran ? "fails" : "";
    }),
  ]);
  const head = ["case", "length", ...names.map((n) => n === "flashtile" ? n : `${n} (over ours)`)];
  return [{ name, figure, head, table, rows }];
}
