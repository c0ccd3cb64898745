// The tiles of a mask, and the pairs of the tile that is looked at.
import {
  cellUnder,
  drawCells,
  type Painting,
  painting,
  type Rgb,
  themeRgb,
} from "../../parts/canvas.ts";
import { mix } from "../../parts/canvas.ts";
import { TILE, type Tiles } from "./tiles.ts";

/** Colours of tiles and pairs. */
export interface Shades {
  readonly empty: Rgb;
  readonly partial: Rgb;
  readonly full: Rgb;
}

/** Those of the theme. */
export function shades(): Shades {
  const paper = themeRgb("--paper"), accent = themeRgb("--accent"), ink = themeRgb("--ink");
  return { empty: mix(paper, ink, 0.07), partial: mix(paper, accent, 0.45), full: accent };
}

/** The picture of all tiles; keys and pointers choose one. */
export interface TilePicture extends Painting {
  readonly show: (tiles: Tiles) => void;
  readonly chosen: () => readonly [row: number, column: number];
}

/** A picture of tiles; `onChoose` hears of the tile that is looked at. */
export function tilePicture(onChoose: () => void): TilePicture {
  let tiles: Tiles | undefined, chosen: readonly [number, number] = [0, 0];
  const { canvas, update } = painting("Tiles of the mask", (context, side) => {
    if (!tiles) return;
    const { side: count, kinds } = tiles, colors = shades();
    const byKind: Record<number, Rgb> = {
      [TILE.empty]: colors.empty,
      [TILE.partial]: colors.partial,
      [TILE.full]: colors.full,
    };
    const colorOf = (row: number, column: number) => byKind[kinds[row * count + column]!]!;
    drawCells(context, { rows: count, columns: count, colorOf }, [0, 0, side, side]);
    const cell = side / count;
    if (cell >= 6) drawGrid(context, count, side);
    context.strokeStyle = `rgb(${themeRgb("--other").join(" ")})`;
    context.lineWidth = 2;
    const least = Math.max(cell, 6), inset = (cell - least) / 2;
    context.strokeRect(chosen[1] * cell + inset, chosen[0] * cell + inset, least, least);
  });
  canvas.setAttribute("role", "application"); // the arrow keys are its own
  const choose = (row: number, column: number) => {
    if (!tiles) return;
    const last = tiles.side - 1, inside = (n: number) => Math.max(0, Math.min(last, n));
    chosen = [inside(row), inside(column)];
    update();
    onChoose();
  };
  const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  canvas.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    choose(chosen[0] + step[0], chosen[1] + step[1]);
  });
  const point = (event: PointerEvent) => {
    const cell = tiles && cellUnder(canvas, event, tiles.side);
    if (cell && (cell[0] !== chosen[0] || cell[1] !== chosen[1])) {
      choose(...cell);
    }
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  return {
    canvas,
    update,
    chosen: () => chosen,
    show(next) {
      const first = tiles === undefined;
      tiles = next;
      // at first the tile in the middle of the diagonal: there masks differ most
      const middle = next.side >> 1;
      choose(...(first ? [middle, middle] as const : chosen));
    },
  };
}

/** Hairlines between tiles. */
function drawGrid(context: CanvasRenderingContext2D, count: number, side: number): void {
  context.strokeStyle = `rgb(${themeRgb("--paper").join(" ")})`;
  context.lineWidth = 1;
  context.beginPath();
  for (let n = 1; n < count; n++) {
    const at = n * side / count;
    context.moveTo(at, 0);
    context.lineTo(at, side);
    context.moveTo(0, at);
    context.lineTo(side, at);
  }
  context.stroke();
}

/** The picture of the pairs of one tile. */
export function pairPicture(): Painting & {
  readonly show: (pairs: { rows: number; keys: number; seen: Uint8Array }) => void;
} {
  let pairs: { rows: number; keys: number; seen: Uint8Array } | undefined;
  const { canvas, update } = painting("Pairs of the tile", (context, side) => {
    if (!pairs) return;
    const { rows, keys, seen } = pairs, { empty, full } = shades();
    const colorOf = (row: number, key: number) => seen[row * keys + key] ? full : empty;
    drawCells(context, { rows, columns: keys, colorOf }, [0, 0, side, side]);
  });
  canvas.removeAttribute("tabindex");
  return {
    canvas,
    update,
    show(next) {
      pairs = next;
      update();
    },
  };
}
