/**
 * What most plots of a report are: lines over a length or a share, one for each contender, with a
 * mark at every figure that was measured.
 * @module
 */

import {
  dot,
  gridX,
  gridY,
  line,
  type Markish,
  ruleY,
  type ScaleOptions,
  text,
} from "@observablehq/plot";
import { drawFigure, type Figure } from "../../tools/plot/figure.ts";
import { GRID, INK, QUIET, SERIES } from "../../tools/plot/palette.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly series: string;
  /** The figure in words, shown where a pointer rests. */
  readonly title: string;
  /** Panels beside each other. */
  readonly panel?: string;
}

/** A line that is a limit or a goal. */
export interface Reference {
  readonly y: number;
  readonly text: string;
}

export interface LineChart {
  readonly label: string;
  readonly description: string;
  readonly points: readonly Point[];
  readonly x: ScaleOptions & { readonly label: string };
  readonly y: ScaleOptions & { readonly label: string };
  readonly references?: readonly Reference[];
  /** Below the lines: a bound that is not a constant, and the like. */
  readonly marks?: readonly Markish[];
  /** Points alone, where a line between them would say nothing. */
  readonly scattered?: boolean;
}

const WIDTH = 720, HEIGHT = 400, LEFT = 58, FONT = 12;
const LETTER = 6.6; // pixels, about, of that font
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye", "hexagon"];

/** Tick labels of lengths: 512, 1K, 16K. */
export function shortLength(n: number): string {
  if (n >= 2 ** 20) return `${n / 2 ** 20}M`;
  return n >= 1024 ? `${n / 1024}K` : `${n}`;
}

/** A scale of lengths, with a tick at each power of two or four. */
export function lengths(points: readonly { readonly x: number }[]): LineChart["x"] {
  const all = points.map(({ x }) => x), least = Math.min(...all), most = Math.max(...all);
  const ticks: number[] = [];
  for (let n = least; n <= most; n *= most / least > 256 ? 4 : 2) ticks.push(n);
  return { label: "length", type: "log", base: 2, ticks, tickFormat: shortLength };
}

/** Ticks of a logarithmic scale: powers of ten, with 2 and 5 between them where those are few. */
export function logTicks(values: readonly number[]): number[] {
  const [least, most] = [Math.min(...values), Math.max(...values)].map(Math.log10);
  const steps = most! - least! > 2.5 ? [1] : [1, 2, 5], ticks: number[] = [];
  for (let power = Math.floor(least!); power <= most!; power++) {
    ticks.push(...steps.map((step) => Number((step * 10 ** power).toPrecision(1))));
  }
  return ticks.filter((tick) => tick >= 10 ** least! && tick <= 10 ** most!);
}

export function lineChart(chart: LineChart): Figure {
  const { label, description, points, x, y, references = [], marks = [], scattered } = chart;
  const { places, lines } = legendPlaces([...new Set(points.map(({ series }) => series))]);
  const names = places.map(({ name }) => name), panels = new Set(points.map(({ panel }) => panel));
  const many = panels.size > 1, place = { x: "x", y: "y", ...(many ? { fx: "panel" } : {}) };
  const top = 30 + 20 * lines + (many ? 20 : 0);
  const above = { frameAnchor: "top-left", facet: "super" } as const;
  return drawFigure({
    ...{ label, description, width: WIDTH, height: HEIGHT + 20 * lines },
    ...{ marginLeft: LEFT, marginTop: top, marginRight: 24, marginBottom: 44 },
    style: { fontSize: `${FONT}px` },
    x: { labelArrow: "none", labelAnchor: "center", ...x },
    y: { ...y, label: null },
    ...(many ? { fx: { label: null, domain: [...panels] } } : {}),
    color: { domain: names, range: SERIES.slice(0, names.length) },
    symbol: { domain: names, range: SYMBOLS.slice(0, names.length) },
    marks: [
      ...[gridX(gridOf(x)), gridY(gridOf(y))],
      ...marks,
      ruleY(references, { y: "y", stroke: QUIET, strokeDasharray: "6 4" }),
      text(references, {
        ...{ y: "y", text: "text", frameAnchor: "right", textAnchor: "end", dx: -4, dy: -8 },
        fill: QUIET,
      }),
      ...scattered
        ? []
        : [line(points, { ...place, z: "series", stroke: "series", strokeWidth: 2 })],
      dot(points, { ...place, fill: "series", symbol: "series", r: 4, title: "title" }),
      text([y.label], { ...above, dx: 8 - LEFT, dy: -16 - (many ? 18 : 0), fill: QUIET }),
      ...places.flatMap(({ name, dx, line: at }) => {
        const dy = 20 * at - top + 12;
        return [
          dot([name], { ...above, dx: dx + 5, dy, fill: [name], symbol: [name], r: 4 }),
          text([name], {
            ...above,
            dx: dx + 14,
            dy,
            textAnchor: "start",
            lineAnchor: "middle",
            fill: INK,
          }),
        ];
      }),
    ],
  });
}

/** Lines at the ticks, and nowhere else. */
function gridOf({ ticks }: ScaleOptions) {
  return { stroke: GRID, strokeOpacity: 1, ...(ticks === undefined ? {} : { ticks }) };
}

/** Names in as many lines as they need, where each stands in pixels. */
function legendPlaces(
  names: readonly string[],
): { readonly places: { name: string; dx: number; line: number }[]; readonly lines: number } {
  let dx = 0, line = 0;
  const places = names.map((name) => {
    const width = 34 + LETTER * name.length;
    if (dx > 0 && dx + width > WIDTH - LEFT) [dx, line] = [0, line + 1];
    const place = { name, dx, line };
    dx += width;
    return place;
  });
  return { places, lines: line + 1 };
}
