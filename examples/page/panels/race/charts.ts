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
}

/** A name at the end of each line, apart from those that end at the same height. */
function ends(points: readonly Point[], value: Axis["value"]) {
  const last = new Map(points.map((point) => [point.contender, point]));
  return [...last.values()].sort((a, b) => value(a) - value(b));
}

function draw(
  { lineY, dot, text, axisX, axisY, gridY, plot }: Plot,
  width: number,
  { points, stops }: RaceResult,
  { value, base, say }: Axis,
): Element | undefined {
  if (points.length === 0) return undefined;
  const ticks = powers(base, points.map(value)),
    lengths = points.map(({ length }) => length);
  // room for the length at which somebody left
  const longest = Math.max(...lengths, ...stops.map(({ length }) => length));
  const shortest = Math.min(...lengths);
  const contenders = [...new Set(points.map(({ contender }) => contender))];
  const out = stops.filter(({ kind }) => kind === "memory").flatMap(({ contender, length }) => {
    const before = points.findLast((point) => point.contender === contender);
    if (!before) return [];
    const y = Math.min(ticks.at(-1)!, value(before) * 4);
    return [{ contender, length, y, before: { length: before.length, y: value(before) } }];
  });
  return plot({
    ...plotDefaults(width),
    height: Math.max(260, Math.min(340, width * 0.72)),
    marginLeft: 62,
    marginRight: 20,
    marginBottom: 40,
    x: { type: "log", base: 2, domain: [shortest, Math.max(1024, longest)] },
    y: { type: "log", base, domain: [ticks[0]!, ticks.at(-1)!] },
    marks: [
      gridY({ ticks, stroke: COLORS.rule, strokeOpacity: 1 }),
      axisX({
        ticks: powers(2, [shortest, Math.max(1024, longest)]),
        tickFormat: lengthTick,
        label: "tokens",
        labelAnchor: "center",
        labelArrow: "none",
        tickSize: 0,
      }),
      axisY({ ticks, tickFormat: say, label: null, tickSize: 0 }),
      ...contenders.flatMap((contender) => {
        const data = points.filter((point) => point.contender === contender);
        const { color, symbol } = LOOKS[contender];
        return [
          lineY(data, { x: "length", y: value, stroke: color, strokeWidth: 2 }),
          dot(data, { x: "length", y: value, fill: color, symbol, r: 4 }),
        ];
      }),
      ...out.flatMap(({ contender, length, y, before }) => [
        lineY([before, { length, y }], {
          ...{ x: "length", y: "y", stroke: LOOKS[contender].color },
          ...{ strokeWidth: 1.5, strokeDasharray: "2 4" },
        }),
        dot([{ length, y }], {
          ...{ x: "length", y: "y", symbol: "times", r: 5 },
          ...{ stroke: LOOKS[contender].color, strokeWidth: 2 },
        }),
        text([{ length, y }], {
          ...{
            x: "length",
            y: "y",
            dx: -10,
            textAnchor: "end",
            text: () => "does not fit",
          },
          ...{
            fill: LOOKS[contender].color,
            stroke: COLORS.paper,
            strokeWidth: 4,
          },
        }),
      ]),
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
    },
    {
      caption: "Memory beyond the tensors",
      value: ({ memoryBytes }: Point) => Math.max(1, memoryBytes),
      base: 16,
      say: bytes,
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
