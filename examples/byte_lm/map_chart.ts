/** The attention maps as a figure: one panel a head, bytes of the text on both axes. */
import { frame, raster, text } from "@observablehq/plot";
import { drawFigure, type Figure, type SvgPlotOptions } from "../../tools/plot/figure.ts";
import { EMPTY, INK, QUIET } from "../../tools/plot/palette.ts";
import type { AttentionMap } from "./attention_map.ts";

/** Wanted side of a panel in pixels. Cells never get too small for the letter beside them. */
const SIDE = 400;
const LEAST_CELL = 8;
/** From one panel to the next, and above all of them. */
const GAP = 30, TITLE = 62, HEADER = 84;
const MARGIN = 40, FOOTER = 96;
const MOST_COLUMNS = 4;

/** The square root lifts small shares, which are most of them, out of the dark. */
const SHARES = { type: "sqrt", domain: [0, 1], scheme: "magma", clamp: true } as const;

/** A pair of bytes of one panel: how much byte i takes from byte j. */
interface Cell {
  column: number;
  row: number;
  i: number;
  j: number;
  share: number;
}

/** Draws all maps, which belong to the same text. */
export function drawAttentionMaps(maps: readonly AttentionMap[], tokens: Uint8Array): Figure {
  const length = tokens.length, side = length * Math.max(LEAST_CELL, Math.floor(SIDE / length));
  const heads = maps.filter((map) => map.layer === 0).length;
  const columns = Math.min(heads, MOST_COLUMNS), rowsPerLayer = Math.ceil(heads / columns);
  const panels = maps.map((map) => ({
    ...{ map, column: map.head % columns },
    row: map.layer * rowsPerLayer + Math.floor(map.head / columns),
  }));
  const rows = 1 + Math.max(...panels.map(({ row }) => row));
  const cells = panels.flatMap(({ map, column, row }) => cellsOf(map, column, row));
  const letters = [...tokens].map((byte, n) => ({ at: n + 0.5, letter: visibleByte(byte) }));
  const letter = { text: "letter", fontFamily: "ui-monospace, monospace", fontSize: 9, fill: INK };
  const panel = { fx: "column", fy: "row", frameAnchor: "top-left" } as const;
  const top = { facet: "super", frameAnchor: "top-left" } as const;
  return drawFigure({
    label: "What each head looks at",
    description: panels.map(({ map }) => `${nameOf(map)}: ${describe(map)}`).join("; "),
    width: Math.max(2 * MARGIN + columns * side + (columns - 1) * GAP, 760),
    height: HEADER + rows * (side + TITLE) + FOOTER,
    ...{ marginLeft: MARGIN, marginRight: MARGIN, marginTop: HEADER + TITLE, marginBottom: FOOTER },
    style: { fontSize: "13px" },
    fx: { axis: null, padding: columns > 1 ? GAP / (side + GAP) : 0 },
    fy: { axis: null, padding: rows > 1 ? TITLE / (side + TITLE) : 0 },
    x: { domain: [0, length], axis: null },
    y: { domain: [length, 0], axis: null },
    color: SHARES,
    marks: [
      frame({ fill: EMPTY, stroke: QUIET }),
      raster(cells, {
        ...{ fx: "column", fy: "row", fill: "share", width: length, height: length },
        ...{ x: ({ j }: Cell) => j + 0.5, y: ({ i }: Cell) => i + 0.5 },
        ...{ interpolate: "none", imageRendering: "pixelated" },
      }),
      text(letters, { ...letter, x: "at", frameAnchor: "top", dy: -7 }),
      text(letters, { ...letter, y: "at", frameAnchor: "left", dx: -7 }),
      text(panels, { ...panel, text: ({ map }) => nameOf(map), dy: -46, fontSize: 15, fill: INK }),
      text(panels, {
        ...panel,
        text: ({ map }) => describe(map),
        dy: -26,
        fontSize: 12,
        fill: QUIET,
      }),
      text(["What each head looks at"], { ...top, dy: -TITLE - 68, fontSize: 20, fill: INK }),
      text([
        "each row is one byte being read; bright columns are the earlier bytes it takes from",
      ], { ...top, dy: -TITLE - 40, fill: QUIET }),
    ],
    inside: { x: MARGIN, y: HEADER + rows * (side + TITLE) + 20, options: colourBar() },
  });
}

function cellsOf({ length, weights }: AttentionMap, column: number, row: number): Cell[] {
  const cells: Cell[] = [];
  for (let i = 0; i < length; i++) {
    for (let j = 0; j <= i; j++) cells.push({ column, row, i, j, share: weights[i * length + j]! });
  }
  return cells;
}

function nameOf({ layer, head }: AttentionMap): string {
  return `layer ${layer + 1} · head ${head + 1}`;
}

/** A number or two for the reader: where the head's attention goes, averaged over the rows. */
function describe({ length, weights }: AttentionMap): string {
  let distance = 0, previous = 0, itself = 0;
  for (let i = 1; i < length; i++) {
    for (let j = 0; j <= i; j++) distance += (i - j) * weights[i * length + j]!;
    previous += weights[i * length + i - 1]!;
    itself += weights[i * length + i]!;
  }
  const percent = (sum: number): string => `${Math.round(100 * sum / (length - 1))} %`;
  return `itself ${percent(itself)}, the byte before ${percent(previous)}, ` +
    `${(distance / (length - 1)).toFixed(1)} bytes back on average`;
}

/** The shares and their colours, on the same scale, and what the grey is. */
function colourBar(): SvgPlotOptions {
  const steps = 180;
  const shares = Array.from({ length: steps }, (_, n) => ((n + 0.5) / steps) ** 2);
  return {
    ...{ width: 660, height: 56, marginLeft: 2, marginRight: 300, marginTop: 2, marginBottom: 38 },
    style: { fontSize: "13px" },
    color: SHARES,
    x: {
      ...{ type: "sqrt", domain: [0, 1], ticks: [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1] },
      ...{ label: "share of attention (a row adds up to 1)", labelArrow: "none" },
      ...{ labelAnchor: "left", tickFormat: String },
    },
    y: { axis: null },
    marks: [
      raster(shares, {
        ...{ x: (share: number) => share, y: () => 0.5, fill: (share: number) => share },
        ...{ x1: 0, x2: 1, y1: 0, y2: 1, width: steps, height: 1, interpolate: "none" },
      }),
      text(["\u25a0"], { frameAnchor: "right", dx: 24, fontSize: 22, fill: EMPTY, stroke: QUIET }),
      text(["masked: not read yet"], {
        ...{ frameAnchor: "right", textAnchor: "start", dx: 42, fill: INK },
      }),
    ],
  };
}

function visibleByte(byte: number): string {
  if (byte === 0x20) return "\u2423";
  if (byte === 0x0a) return "\u21b5";
  return String.fromCharCode(byte);
}
