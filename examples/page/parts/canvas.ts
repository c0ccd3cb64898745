// Pictures made of cells: a canvas as wide as its place, painted again when its width, its data or the colours change.
import { element } from "./elements.ts";
import { onTheme } from "./theme.ts";

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** A canvas in the page. */
export interface Painting {
  readonly canvas: HTMLCanvasElement;
  /** Paints it again, with the next frame: call it whenever data have changed. */
  readonly update: () => void;
}

/**
 * A square canvas that `paint` fills; sizes are CSS pixels, and lines stay sharp on screens of any density. It can have
 * the focus, for keys to act on it; `label` says what it shows.
 */
export function painting(
  label: string,
  paint: (context: CanvasRenderingContext2D, side: number) => void,
): Painting {
  const canvas = element("canvas", {
    class: "painting",
    role: "img",
    tabindex: 0,
    "aria-label": label,
  });
  const context = canvas.getContext("2d")!;
  let side = 0, asked = false;
  const update = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      if (side === 0) return;
      const density = devicePixelRatio || 1, pixels = Math.round(side * density);
      if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
      context.setTransform(pixels / side, 0, 0, pixels / side, 0, 0);
      context.clearRect(0, 0, side, side);
      paint(context, side);
    });
  };
  new ResizeObserver(([entry]) => {
    side = entry!.contentRect.width;
    update();
  }).observe(canvas);
  onTheme(update);
  return { canvas, update };
}

/** The value of a colour of style.css as numbers. */
export function themeRgb(name: `--${string}`): Rgb {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const context = document.createElement("canvas").getContext("2d")!;
  context.fillStyle = value; // read again, it is #rrggbb
  const hex = Number.parseInt(String(context.fillStyle).slice(1), 16);
  return [hex >> 16 & 255, hex >> 8 & 255, hex & 255];
}

/** The colour at `share` of the way from one to another. */
export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  const at = (n: 0 | 1 | 2) => Math.round(from[n] + (to[n] - from[n]) * share);
  return [at(0), at(1), at(2)];
}

/** Cells as an image of a pixel each, which is then drawn as large as it is wanted, without smoothing. */
export function drawCells(
  context: CanvasRenderingContext2D,
  { rows, columns, colorOf }: {
    readonly rows: number;
    readonly columns: number;
    readonly colorOf: (row: number, column: number) => Rgb;
  },
  [left, top, width, height]: readonly [number, number, number, number],
): void {
  const image = new ImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      image.data.set([...colorOf(row, column), 255], 4 * (row * columns + column));
    }
  }
  const source = new OffscreenCanvas(columns, rows);
  source.getContext("2d")!.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(source, left, top, width, height);
}

/** Where in a square of `count` cells on a side a pointer is; undefined outside. */
export function cellUnder(
  canvas: HTMLCanvasElement,
  { clientX, clientY }: MouseEvent,
  count: number,
): readonly [row: number, column: number] | undefined {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const row = Math.floor((clientY - top) / height * count);
  const column = Math.floor((clientX - left) / width * count);
  const inside = Math.min(row, column) >= 0 && Math.max(row, column) < count;
  return inside ? [row, column] : undefined;
}
