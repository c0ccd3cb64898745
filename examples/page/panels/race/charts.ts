// Time and memory over lengths.
import { type Chart, chart, COLORS, type Plot, plotDefaults } from "../../parts/chart.ts";
import { bytes, count, duration } from "../../parts/words.ts";
import type { Contender } from "./contender.ts";
import type { Point, RaceResult } from "./result.ts";

/** How a contender is drawn. */
export const LOOKS: Readonly<
  Record<
    Contender["id"],
    { readonly color: string; readonly symbol: "circle" | "square" }
  >
> = {
  "flash cpu": { color: COLORS.accent, symbol: "circle" },
  "standard cpu": { color: COLORS.other, symbol: "circle" },
  "flash gpu": { color: COLORS.series[2], symbol: "square" },
  "standard gpu": { color: COLORS.series[3], symbol: "square" },
};

/** 512, 1k, 2k: lengths double, so powers of two. */
function lengthTick(length: number): string {
  return length < 1024 ? `${length}` : `${length / 1024}k`;
}

/** Powers of `base` that cover some values. */
function powers(base: number, values: readonly number[]): number[] {
  const exponents = values.map((value) => Math.log(value) / Math.log(base));
  const first = Math.floor(Math.min(...exponents)),
    last = Math.ceil(Math.max(...exponents));
  return Array.from(
    { length: last - first + 1 },
    (_, n) => base ** (first + n),
  );
}

interface Axis {
  readonly value: (point: Point) => number;
  /** Ticks are powers of it. */
  readonly base: number;
  readonly say: (value: number) => string;
  /** Whether the ends of lines are told: their values, and where a matrix no longer fits. */
  readonly ends: boolean;
}

/** The last point of each contender, the lowest first. */
function ends(points: readonly Point[], value: Axis["value"]): Point[] {
  const last = new Map(points.map((point) => [point.contender, point]));
  return [...last.values()].sort((a, b) => value(a) - value(b));
}

/** Where a matrix no longer fits: at the next length, four times as high as the last point. */
interface Out {
  readonly contender: Contender["id"];
  readonly line: readonly { readonly length: number; readonly y: number }[];
}

function outs({ points, stops }: RaceResult, value: Axis["value"]): Out[] {
  return stops.filter(({ kind }) => kind === "memory").flatMap(({ contender, length }) => {
    const before = points.findLast((point) => point.contender === contender);
    if (!before) return [];
    const y = value(before);
    return [{ contender, line: [{ length: before.length, y }, { length, y: 4 * y }] }];
  });
}

const AT = { x: "length", y: "y" };

/** Text that stays readable on lines. */
const readable = (color: string) => ({ fill: color, stroke: COLORS.paper, strokeWidth: 4 });

function lineMarks({ lineY, dot }: Plot, points: readonly Point[], value: Axis["value"]) {
  const contenders = [...new Set(points.map(({ contender }) => contender))];
  return contenders.flatMap((contender) => {
    const data = points.filter((point) => point.contender === contender);
    const { color, symbol } = LOOKS[contender];
    return [
      lineY(data, { x: "length", y: value, stroke: color, strokeWidth: 2 }),
      dot(data, { x: "length", y: value, fill: color, symbol, r: 4 }),
    ];
  });
}

/** The value of each last point: lines rise, so there is room above and before it; below it for the lowest. */
function endMarks({ text }: Plot, points: readonly Point[], { value, say }: Axis) {
  return ends(points, value).map((point, rank) =>
    text([point], {
      ...{ x: "length", y: value, fontWeight: 600 },
      ...(rank === 0 ? { dy: 16 } : { dy: -8, dx: -9, textAnchor: "end" as const }),
      ...{ text: () => say(value(point)), ...readable(LOOKS[point.contender].color) },
    })
  );
}

function outMarks({ lineY, dot, text }: Plot, out: readonly Out[]) {
  return out.flatMap(({ contender, line }) => {
    const { color } = LOOKS[contender], end = line.slice(1);
    return [
      lineY(line, { ...AT, stroke: color, strokeWidth: 1.5, strokeDasharray: "2 4" }),
      dot(end, { ...AT, symbol: "times", r: 5, stroke: color, strokeWidth: 2 }),
      text(end, {
        ...AT,
        ...{ dy: -15, dx: 6, textAnchor: "end", text: () => "does not fit", ...readable(color) },
      }),
    ];
  });
}

function draw(plots: Plot, width: number, result: RaceResult, axis: Axis): Element | undefined {
  const { points } = result, { value, base, say } = axis;
  if (points.length === 0) return undefined;
  const out = axis.ends ? outs(result, value) : [];
  const ticks = powers(base, [...points.map(value), ...out.map(({ line }) => line[1]!.y)]);
  const lengths = [...points, ...out.map(({ line }) => line[1]!)].map(({ length }) => length);
  const [shortest, longest] = [Math.min(...lengths), Math.max(1024, ...lengths)];
  return plots.plot({
    ...plotDefaults(width),
    height: Math.max(260, Math.min(340, width * 0.8)),
    marginLeft: 62,
    marginRight: 24,
    marginBottom: 40,
    x: { type: "log", base: 2, domain: [shortest, longest] },
    y: { type: "log", base, domain: [ticks[0]!, ticks.at(-1)!] },
    marks: [
      plots.gridY({ ticks, stroke: COLORS.rule, strokeOpacity: 1 }),
      plots.axisX({
        ticks: powers(2, [shortest, longest]),
        tickFormat: lengthTick,
        ...{ label: "tokens", labelAnchor: "center", labelArrow: "none", tickSize: 0 },
      }),
      plots.axisY({ ticks, tickFormat: say, label: null, tickSize: 0 }),
      ...lineMarks(plots, points, value),
      ...outMarks(plots, out),
      ...(axis.ends ? endMarks(plots, points, axis) : []),
    ],
  });
}

function label(what: string, result: RaceResult, { value, say }: Axis): string {
  if (result.points.length === 0) {
    return `${what}: nothing has been measured yet`;
  }
  const said = ends(result.points, value).map((point) =>
    `${point.name} ${say(value(point))} at ${count(point.length)} tokens`
  );
  return `${what}, on logarithmic axes: ${said.join("; ")}. The table has all numbers.`;
}

/** The two charts of a race. */
export function raceCharts(result: () => RaceResult): Chart[] {
  const axes = [
    {
      caption: "Time of a call",
      value: ({ ms }: Point) => ms,
      base: 10,
      say: duration,
      ends: false, // lines that lie on each other
    },
    {
      caption: "Memory beyond the tensors",
      value: ({ memoryBytes }: Point) => Math.max(1, memoryBytes),
      base: 16,
      say: bytes,
      ends: true,
    },
  ];
  return axes.map(({ caption, ...axis }) =>
    chart({
      caption,
      label: () => label(caption, result(), axis),
      empty: "Start the race to see it here.",
      draw: (plot, width) => draw(plot, width, result(), axis),
    })
  );
}
