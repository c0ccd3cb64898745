/** A picture in memory and the few strokes the charts need. Coordinates are pixels from top left. */
import { GLYPH_ADVANCE, GLYPH_HEIGHT, glyphRows } from "./font.ts";
import { encodePng } from "./png.ts";

/** Red, green, blue, each 0 to 255. */
export type Colour = readonly [number, number, number];

export interface Point {
  x: number;
  y: number;
}

export interface TextStyle {
  colour?: Colour;
  /** Whole-number magnification of the 5×7 letters. */
  size?: number;
  /** Which part of the text stands at x. */
  align?: "left" | "centre" | "right";
}

export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly #pixels: Uint8Array;

  constructor(width: number, height: number, background: Colour) {
    this.width = width;
    this.height = height;
    this.#pixels = new Uint8Array(width * height * 3);
    this.fillRectangle(0, 0, width, height, background);
  }

  fillRectangle(
    left: number,
    top: number,
    width: number,
    height: number,
    colour: Colour,
  ): void {
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) this.#blend(x, y, colour, 1);
    }
  }

  /** The one-pixel outline of a rectangle. */
  strokeRectangle(
    left: number,
    top: number,
    width: number,
    height: number,
    colour: Colour,
  ): void {
    this.fillRectangle(left, top, width, 1, colour);
    this.fillRectangle(left, top + height - 1, width, 1, colour);
    this.fillRectangle(left, top, 1, height, colour);
    this.fillRectangle(left + width - 1, top, 1, height, colour);
  }

  /** Joined straight lines with soft edges, dashed when `dash` (pixels on, pixels off) is given. */
  drawLines(
    points: readonly Point[],
    colour: Colour,
    thickness: number,
    dash?: readonly [on: number, off: number],
  ): void {
    let travelled = 0;
    for (let i = 1; i < points.length; i++) {
      this.#drawLine(
        points[i - 1]!,
        points[i]!,
        colour,
        thickness,
        travelled,
        dash,
      );
      travelled += Math.hypot(
        points[i]!.x - points[i - 1]!.x,
        points[i]!.y - points[i - 1]!.y,
      );
    }
  }

  fillCircle(centre: Point, radius: number, colour: Colour): void {
    for (
      let y = Math.floor(centre.y - radius);
      y <= centre.y + radius + 1;
      y++
    ) {
      for (
        let x = Math.floor(centre.x - radius);
        x <= centre.x + radius + 1;
        x++
      ) {
        const distance = Math.hypot(x - centre.x, y - centre.y);
        this.#blend(x, y, colour, radius + 0.5 - distance);
      }
    }
  }

  drawText(text: string, x: number, y: number, style: TextStyle = {}): void {
    const { colour = [40, 44, 52], size = 1, align = "left" } = style;
    const share = align === "left" ? 0 : align === "right" ? 1 : 0.5;
    let left = Math.round(x - share * textWidth(text, size));
    const top = Math.round(y);
    for (const character of text) {
      const rows = glyphRows(character);
      for (let row = 0; row < GLYPH_HEIGHT; row++) {
        for (let column = 0; column < 5; column++) {
          if ((rows[row]! >> (4 - column)) & 1) {
            this.fillRectangle(
              left + column * size,
              top + row * size,
              size,
              size,
              colour,
            );
          }
        }
      }
      left += GLYPH_ADVANCE * size;
    }
  }

  toPng(): Uint8Array<ArrayBuffer> {
    return encodePng(this.#pixels, this.width, this.height);
  }

  /** Each pixel is covered by as much of the line as its distance from the line allows. */
  #drawLine(
    from: Point,
    to: Point,
    colour: Colour,
    thickness: number,
    travelled: number,
    dash?: readonly [on: number, off: number],
  ): void {
    const dx = to.x - from.x, dy = to.y - from.y;
    const length = Math.hypot(dx, dy) || 1;
    const reach = thickness / 2 + 1;
    for (
      let y = Math.floor(Math.min(from.y, to.y) - reach);
      y <= Math.max(from.y, to.y) + reach;
      y++
    ) {
      for (
        let x = Math.floor(Math.min(from.x, to.x) - reach);
        x <= Math.max(from.x, to.x) + reach;
        x++
      ) {
        const along = ((x - from.x) * dx + (y - from.y) * dy) / length;
        const nearest = Math.min(length, Math.max(0, along));
        if (dash && (travelled + nearest) % (dash[0] + dash[1]) >= dash[0]) {
          continue;
        }
        const distance = Math.hypot(
          x - from.x - nearest * dx / length,
          y - from.y - nearest * dy / length,
        );
        this.#blend(x, y, colour, thickness / 2 + 0.5 - distance);
      }
    }
  }

  #blend(x: number, y: number, colour: Colour, coverage: number): void {
    if (
      coverage <= 0 || x < 0 || y < 0 || x >= this.width || y >= this.height
    ) return;
    const at = (y * this.width + x) * 3;
    const share = Math.min(1, coverage);
    for (let c = 0; c < 3; c++) {
      this.#pixels[at + c]! += share * (colour[c]! - this.#pixels[at + c]!);
    }
  }
}

/** Width of a text in pixels, without the gap after its last letter. */
export function textWidth(text: string, size = 1): number {
  return Math.max(0, [...text].length * GLYPH_ADVANCE - 1) * size;
}
