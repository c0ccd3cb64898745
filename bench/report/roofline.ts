/** Every call beside what the machine could do at most with its operations and bytes. */

import { line } from "@observablehq/plot";
import { QUIET } from "../../tools/plot/palette.ts";
import { backwardFlops, type Case, caseNamed, forwardFlops, kvBytes } from "../cases.ts";
import type { StoredRow } from "../measure/store.ts";
import { digits3, percent } from "../measure/table.ts";
import type { Chapter, Exhibit } from "./exhibit.ts";
import { lineChart, logTicks } from "./line_chart.ts";
import { byMachine, newest, number, type Source } from "./source.ts";

/** One call: how much it computes for each byte that it cannot avoid to move, and how fast. */
interface Call {
  readonly from: StoredRow;
  readonly of: string;
  readonly pass: string;
  readonly intensity: number;
  readonly gflops: number;
}

interface Roof {
  readonly gflops: number;
  readonly gbs: number;
}

export const rooflineChapter: Chapter = {
  id: "roofline",
  title: "Roofline: share of the machine's peak",
  about: "Each mark is a call on resident tensors, float32. To the right are calls that compute " +
    "much for each byte of operands and results. The line is what the machine can do at most: its " +
    "multiply-adds, or, left of the bend, the bytes that its memory delivers.",
  command: "deno task bench --only=forward,causal,backward,decode --store",
  exhibits(source) {
    return [
      ...onMachines(
        source,
        "",
        "roofline",
        ({ row }) =>
          number(row, "threads") === 1
            ? { gflops: number(row, "gflops"), gbs: number(row, "readGBs") }
            : undefined,
      ),
      ...onMachines(source, "gpu-", "gpu-facts", ({ row }) => ({
        ...{ gflops: number(row, "fmaGflops"), gbs: number(row, "readGBs") },
      })),
    ];
  },
};

/** `prefix`: of the kinds of rows. */
function onMachines(
  source: Source,
  prefix: string,
  limits: string,
  roofOf: (row: StoredRow) => Roof | undefined,
): Exhibit[] {
  return byMachine(source(limits)).flatMap(({ name, rows }) => {
    const roofs = rows.filter((row) => Number.isFinite(roofOf(row)?.gflops));
    const calls = callsOf(source, prefix, name), last = roofs.at(-1);
    return last && calls.length ? [exhibit(name, roofOf(last)!, last, calls)] : [];
  });
}

function callsOf(source: Source, prefix: string, machine: string): Call[] {
  const on = (kind: string) =>
    byMachine(source(prefix + kind)).find(({ name }) => name === machine)?.rows ?? [];
  const fields = ["case", "causal", "threads"];
  const forward = newest(
    on("forward").filter(({ row }) =>
      row.kind === "resident" || row.contender === "flashtile" && row.dtype === "f32"
    ),
    fields,
  );
  const decode = on("decode").filter(({ row }) =>
    row.kind === undefined || row.kind === "resident"
  );
  return [
    ...forward.map((from) => passOf(from, "forward")),
    ...newest(on("backward"), fields).map((from) => passOf(from, "backward")),
    ...newest(decode, fields).map(decodeOf),
  ].filter(({ from, gflops }) => (from.row.threads ?? 1) === 1 && Number.isFinite(gflops));
}

function passOf(from: StoredRow, pass: "forward" | "backward"): Call {
  const c = caseNamed(String(from.row.case)), causal = Boolean(from.row.causal);
  const flops = pass === "forward" ? forwardFlops(c, causal) : backwardFlops(c, causal);
  // forward: q, k, v, out; backward: those, dOut, and a gradient of each of q, k and v
  const bytes = tensorBytes(c) * (pass === "forward" ? 1 : 2);
  const gflops = number(from.row, "gflops"), named = causal ? `${pass}, causal` : pass;
  return { from, of: c.name, pass: named, intensity: flops / bytes, gflops };
}

function decodeOf(from: StoredRow): Call {
  const c = caseNamed(String(from.row.case)), intensity = forwardFlops(c) / kvBytes(c);
  const gflops = number(from.row, "gbs") * intensity;
  return { from, of: c.name, pass: "decode", intensity, gflops };
}

/** q, k, v and the result. */
function tensorBytes(c: Case): number {
  return kvBytes(c) + 2 * 4 * c.batch * c.queryHeads * c.lengthQ * c.headDim;
}

function exhibit(name: string, roof: Roof, limits: StoredRow, calls: readonly Call[]): Exhibit {
  const bend = roof.gflops / roof.gbs, farthest = Math.max(...calls.map((c) => c.intensity));
  const nearest = Math.min(bend / 8, ...calls.map((c) => c.intensity / 2));
  const ceiling = [nearest, bend, farthest * 2]
    .map((x) => ({ x, y: Math.min(roof.gflops, x * roof.gbs) }));
  const share = ({ gflops, intensity }: Call) =>
    gflops / Math.min(roof.gflops, intensity * roof.gbs);
  const best = calls.reduce((a, b) => share(a) > share(b) ? a : b);
  const figure = lineChart({
    label: `Roofline of ${name}`,
    description: `Peak ${digits3(roof.gflops)} GFLOP/s, memory ${digits3(roof.gbs)} GB/s; ` +
      `the best of ${calls.length} calls, ${best.of} ${best.pass}, has ${percent(share(best))}`,
    points: calls.map((call) => ({
      ...{ x: call.intensity, y: call.gflops, series: call.pass },
      title: `${call.of} ${call.pass}: ${digits3(call.gflops)} GFLOP/s, ${percent(share(call))}`,
    })),
    x: {
      ...{ label: "operations a byte", type: "log", tickFormat: "~g" },
      ticks: logTicks(ceiling.map(({ x }) => x)),
    },
    y: {
      ...{ label: "GFLOP/s", type: "log", tickFormat: "~s" },
      ticks: logTicks([...ceiling.map(({ y }) => y), ...calls.map(({ gflops }) => gflops)]),
    },
    references: [{ y: roof.gflops, text: `peak ${digits3(roof.gflops)} GFLOP/s` }],
    marks: [line(ceiling, { x: "x", y: "y", stroke: QUIET, strokeWidth: 1.5 })],
    scattered: true,
  });
  const table = calls.map((call) => [
    ...[call.of, call.pass, digits3(call.intensity), digits3(call.gflops)],
    percent(share(call)),
  ]);
  const head = ["case", "pass", "operations a byte", "GFLOP/s", "of the line"];
  return { name, figure, head, table, rows: [limits, ...calls.map(({ from }) => from)] };
}
