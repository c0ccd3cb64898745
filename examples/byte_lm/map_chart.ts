/** The attention map as a picture: one panel a head, bytes of the text on both axes. */
import type { AttentionMap } from "./attention_map.ts";
import { Canvas, type Colour } from "./canvas.ts";
import { GLYPH_HEIGHT } from "./font.ts";

/** Wanted side of a panel: room for the words above it. Cells never get too small for a letter. */
const SIDE = 480;
const LEAST_CELL = 10;
const GAP = 34;
const MARGIN = 40;
const HEADER = 92;
const FOOTER = 84;
const LABELS = 14;
const PANEL_TITLE = 48;
const MOST_COLUMNS = 4;

const PAGE: Colour = [250, 250, 252];
const INK: Colour = [32, 35, 44];
const QUIET: Colour = [112, 118, 132];
const MASKED: Colour = [232, 233, 238];

/** Dark to bright with evenly perceived steps: matplotlib's "magma", sampled. */
const COLOURS: readonly Colour[] = [
  [0, 0, 4],
  [28, 16, 68],
  [79, 18, 123],
  [129, 37, 129],
  [181, 54, 122],
  [229, 80, 100],
  [251, 135, 97],
  [254, 194, 135],
  [252, 253, 191],
];

/** Draws all maps, which belong to the same text, and returns a PNG file. */
export function drawAttentionMaps(
  maps: readonly AttentionMap[],
  tokens: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const side = tokens.length * cellSize(tokens.length);
  const heads = maps.filter((map) => map.layer === 0).length;
  const columns = Math.min(heads, MOST_COLUMNS);
  const rowsPerLayer = Math.ceil(heads / columns);
  const layers = maps.length / heads;
  const panelWidth = LABELS + side, panelHeight = PANEL_TITLE + LABELS + side;
  const canvas = new Canvas(
    Math.max(2 * MARGIN + columns * panelWidth + (columns - 1) * GAP, 780),
    HEADER + layers * rowsPerLayer * (panelHeight + GAP) + FOOTER,
    PAGE,
  );
  canvas.drawText("What each head looks at", MARGIN, 30, {
    size: 3,
    colour: INK,
  });
  canvas.drawText(
    "each row is one byte being read; bright columns are the earlier bytes it takes from",
    MARGIN,
    68,
    { size: 1, colour: QUIET },
  );
  for (const map of maps) {
    const column = map.head % columns;
    const row = map.layer * rowsPerLayer + Math.floor(map.head / columns);
    const left = MARGIN + column * (panelWidth + GAP);
    drawPanel(canvas, map, tokens, left, HEADER + row * (panelHeight + GAP));
  }
  drawColourBar(canvas, MARGIN + LABELS, canvas.height - FOOTER + 6);
  return canvas.toPng();
}

function cellSize(length: number): number {
  return Math.max(LEAST_CELL, Math.floor(SIDE / length));
}

function drawPanel(
  canvas: Canvas,
  map: AttentionMap,
  tokens: Uint8Array,
  left: number,
  top: number,
): void {
  const plotLeft = left + LABELS, plotTop = top + PANEL_TITLE + LABELS;
  const cell = cellSize(map.length);
  const side = map.length * cell;
  canvas.drawText(
    `layer ${map.layer + 1} \u00b7 head ${map.head + 1}`,
    plotLeft,
    top + 4,
    {
      size: 2,
      colour: INK,
    },
  );
  canvas.drawText(describe(map), plotLeft, top + 28, { colour: QUIET });
  for (let i = 0; i < map.length; i++) {
    const label = visibleByte(tokens[i]!);
    const middle = (i + 0.5) * cell;
    canvas.drawText(label, plotLeft - 4, plotTop + middle - 4, {
      align: "right",
      colour: INK,
    });
    canvas.drawText(label, plotLeft + middle, plotTop - GLYPH_HEIGHT - 3, {
      align: "centre",
      colour: INK,
    });
    for (let j = 0; j < map.length; j++) {
      const colour = j > i ? MASKED : colourOf(map.weights[i * map.length + j]!);
      canvas.fillRectangle(
        plotLeft + j * cell,
        plotTop + i * cell,
        cell,
        cell,
        colour,
      );
    }
  }
  canvas.strokeRectangle(plotLeft - 1, plotTop - 1, side + 2, side + 2, QUIET);
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

/** A scale from 0 to 1, with the same square root as the panels. */
function drawColourBar(canvas: Canvas, left: number, top: number): void {
  const width = 360, height = 16;
  for (let x = 0; x < width; x++) {
    canvas.fillRectangle(
      left + x,
      top,
      1,
      height,
      colourOf((x / (width - 1)) ** 2),
    );
  }
  canvas.strokeRectangle(left - 1, top - 1, width + 2, height + 2, QUIET);
  for (const share of [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]) {
    const x = left + Math.round(Math.sqrt(share) * (width - 1));
    canvas.fillRectangle(x, top + height, 1, 5, QUIET);
    canvas.drawText(`${share}`, x, top + height + 9, {
      align: "centre",
      colour: INK,
    });
  }
  canvas.drawText(
    "share of attention (a row adds up to 1)",
    left + width + 20,
    top + 4,
    {
      colour: INK,
    },
  );
  canvas.fillRectangle(left + width + 280, top, height, height, MASKED);
  canvas.drawText("masked: not read yet", left + width + 304, top + 4, {
    colour: INK,
  });
}

/** The square root lifts small shares, which are most of them, out of the dark. */
function colourOf(share: number): Colour {
  const at = Math.sqrt(Math.min(1, Math.max(0, share))) * (COLOURS.length - 1);
  const below = Math.min(COLOURS.length - 2, Math.floor(at));
  const mix = at - below;
  const a = COLOURS[below]!, b = COLOURS[below + 1]!;
  const mixed = (c: 0 | 1 | 2) => a[c] + mix * (b[c] - a[c]);
  return [mixed(0), mixed(1), mixed(2)];
}

function visibleByte(byte: number): string {
  if (byte === 0x20) return "\u2423";
  if (byte === 0x0a) return "\u21b5";
  return String.fromCharCode(byte);
}
