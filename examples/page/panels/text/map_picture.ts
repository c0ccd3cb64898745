// The map of a head: queries from top to bottom, keys from left to right, with entropy and what keys received at its sides.
import { drawCells, mix, type Painting, painting, type Rgb, themeRgb } from "../../parts/canvas.ts";
import type { Range } from "./characters.ts";
import { cellOf, cellStart, type Overview, pan, zoom } from "./overview.ts";
import type { Head, Rectangle } from "./reading.ts";

/** Width of the strips and of the space between them and the map, in CSS pixels. */
const STRIP = 12, SPACE = 4;
/** A pointer that moves less than this has clicked. */
const CLICK = 5;

/** What the map shows. */
export interface MapData {
  readonly head: Head;
  readonly overview: Overview;
  /** The byte of the query that is chosen. */
  readonly query: number;
}

/** What the map hears. */
export interface MapEvents {
  /** A rectangle is asked for. */
  readonly onZoom: (rectangle: Rectangle) => void;
  /** A query is chosen by a click on its row. */
  readonly onQuery: (byte: number) => void;
  /** A cell is pointed at; undefined: none is any more. */
  readonly onCell: (cell: readonly [row: number, column: number] | undefined) => void;
  /** Where zooming by a key goes to. */
  readonly middle: () => readonly [row: number, key: number];
}

/** The colours of shares from 0 to 1. */
function ramp(): (share: number) => Rgb {
  const paper = themeRgb("--surface"), accent = themeRgb("--accent"), ink = themeRgb("--ink");
  return (share) =>
    share < 0.7 ? mix(paper, accent, share / 0.7) : mix(accent, ink, (share - 0.7) / 0.6);
}

/** The map; `data` says what it shows whenever it is painted. */
export function mapPicture(data: () => MapData | undefined, events: MapEvents): Painting {
  let from: readonly [number, number] | undefined, to: readonly [number, number] | undefined;
  const made = painting("Map of the attention", (context, side) => {
    const now = data();
    if (!now) return;
    const at = STRIP + SPACE, size = side - at;
    paintMap(context, now, at, size);
    if (!from || !to) return;
    const [x, y] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])];
    context.strokeStyle = `rgb(${themeRgb("--other").join(" ")})`;
    context.lineWidth = 2;
    context.strokeRect(x, y, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
  });
  const { canvas, update } = made;
  canvas.setAttribute("role", "application"); // the arrow keys are its own

  /** Shares of the map's sides at which a pointer is, 0 to 1. */
  const share = (x: number, y: number): readonly [right: number, down: number] => {
    const at = STRIP + SPACE,
      size = canvas.clientWidth - at,
      inside = (n: number) => Math.max(0, Math.min(0.9999, n));
    return [inside((x - at) / size), inside((y - at) / size)];
  };
  const place = ({ clientX, clientY }: PointerEvent): readonly [number, number] => {
    const { left, top } = canvas.getBoundingClientRect();
    return [clientX - left, clientY - top];
  };
  const byteAt = ([first, end]: Range, n: number) => first + Math.floor(n * (end - first));
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = to = place(event);
    if (event.pointerType !== "touch") {
      canvas.setPointerCapture(event.pointerId);
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = data(), spot = place(event);
    if (!now) return;
    if (from) {
      to = spot;
      update();
    }
    const { rows, columns } = now.overview, [right, down] = share(...spot);
    events.onCell([Math.floor(down * rows), Math.floor(right * columns)]);
  });
  canvas.addEventListener("pointerleave", () => events.onCell(undefined));
  canvas.addEventListener("pointercancel", () => {
    from = to = undefined;
    update();
  });
  canvas.addEventListener("pointerup", (event) => {
    const now = data(), begin = from;
    from = to = undefined;
    if (!now || !begin) return;
    const end = place(event), { rows, keys } = now.overview.rectangle;
    if (Math.hypot(end[0] - begin[0], end[1] - begin[1]) < CLICK) {
      events.onQuery(byteAt(rows, share(...end)[1]));
      return;
    }
    const [a, b] = [share(...begin), share(...end)];
    const side = (range: Range, n: 0 | 1): Range => {
      const first = byteAt(range, Math.min(a[n], b[n]));
      return [first, Math.max(first + 1, byteAt(range, Math.max(a[n], b[n])) + 1)];
    };
    events.onZoom({ rows: side(rows, 1), keys: side(keys, 0) });
  });
  canvas.addEventListener("keydown", (event) => {
    const now = data();
    const next = now && keyed(event.key, now, events.middle());
    if (!next || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    events.onZoom(next);
  });
  return made;
}

/** The rectangle that a key leads to. */
function keyed(
  key: string,
  { head: { length }, overview: { rectangle } }: MapData,
  middle: readonly [number, number],
): Rectangle | undefined {
  switch (key) {
    case "+":
    case "=":
      return zoom(rectangle, 0.5, length, middle);
    case "-":
      return zoom(rectangle, 2, length);
    case "0":
      return { rows: [0, length], keys: [0, length] };
    case "ArrowUp":
      return pan(rectangle, -0.25, 0, length);
    case "ArrowDown":
      return pan(rectangle, 0.25, 0, length);
    case "ArrowLeft":
      return pan(rectangle, 0, -0.25, length);
    case "ArrowRight":
      return pan(rectangle, 0, 0.25, length);
  }
  return undefined;
}

/** Means of numbers of bytes over the cells of a range. */
function means(ofBytes: Float32Array, range: Range, cells: number): Float32Array {
  return Float32Array.from({ length: cells }, (_, n) => {
    const first = cellStart(range, cells, n), end = cellStart(range, cells, n + 1);
    let sum = 0;
    for (let byte = first; byte < end; byte++) sum += ofBytes[byte]!;
    return sum / (end - first);
  });
}

function paintMap(
  context: CanvasRenderingContext2D,
  { head, overview, query }: MapData,
  at: number,
  size: number,
): void {
  const { rows, columns, shares, rectangle } = overview, color = ramp();
  const largest = (values: Float32Array) => values.reduce((a, b) => Math.max(a, b), 1e-9);
  const most = largest(shares);
  const colorOf = (row: number, column: number) =>
    color(Math.sqrt(shares[row * columns + column]! / most));
  drawCells(context, { rows, columns, colorOf }, [at, at, size, size]);
  const received = means(head.received, rectangle.keys, columns), mostReceived = largest(received);
  const across = (_: number, n: number) => color(Math.sqrt(received[n]! / mostReceived));
  drawCells(context, { rows: 1, columns, colorOf: across }, [at, 0, size, STRIP]);
  const entropy = means(head.entropy, rectangle.rows, rows), mostEntropy = largest(entropy);
  const down = (n: number) => color(entropy[n]! / mostEntropy);
  drawCells(context, { rows, columns: 1, colorOf: down }, [0, at, STRIP, size]);
  if (query < rectangle.rows[0] || query >= rectangle.rows[1]) return;
  const y = at + (cellOf(rectangle.rows, rows, query) + 0.5) * size / rows;
  context.fillStyle = `rgb(${themeRgb("--other").join(" ")})`;
  const arrow = new Path2D(
    `M${STRIP - 8} ${y - 5} L${STRIP + SPACE} ${y} L${STRIP - 8} ${y + 5} Z`,
  );
  context.fill(arrow);
}
