/**
 * As much of a canvas as Observable Plot's raster mark wants: pixels in, a PNG as a data URL out. So
 * a square of a thousand cells is one image in a figure, not a thousand rectangles.
 * @module
 */

import { Buffer } from "node:buffer";
import { encode } from "fast-png";

interface Pixels {
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** Width and height are pixels. */
export class PngCanvas {
  width = 0;
  height = 0;
  #pixels = new Uint8ClampedArray(0);

  getContext(kind: string): {
    createImageData(width: number, height: number): Pixels;
    putImageData(pixels: Pixels): void;
  } {
    if (kind !== "2d") throw new RangeError(`Cannot draw in a context "${kind}": expected "2d"`);
    return {
      createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
      putImageData: ({ data }) => {
        this.#pixels = data;
      },
    };
  }

  toDataURL(): string {
    const { width, height } = this;
    const png = encode({ width, height, channels: 4, data: this.#pixels });
    return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
  }
}
