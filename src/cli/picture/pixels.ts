// Scores as colours.

/** Numbers of queries (rows) and keys (columns). */
export interface Rectangle {
  readonly rows: number;
  readonly keys: number;
  /** Row by row. */
  readonly values: Float32Array;
}

/** From the lowest value to the highest: light to dark, each step as far from the last. */
const RAMP = ["#fbfaf6", "#cfe1ea", "#8fbcd9", "#4a90c2", "#1d5c9b", "#0b2f5e"].map(channels);
/** A pair that is hidden; a score that is NaN. */
const HIDDEN = channels("#dddddd"), STRANGE = channels("#d6246c");

function channels(hex: string): readonly [number, number, number] {
  const at = (n: number) => parseInt(hex.slice(n, n + 2), 16);
  return [at(1), at(3), at(5)];
}

/** The lowest and the highest finite value. */
export function rangeOf({ values }: Rectangle): readonly [low: number, high: number] {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 0];
}

/** The colour at a share of the range, 0 to 1. */
export function colourAt(share: number): readonly [number, number, number] {
  const place = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const below = Math.min(RAMP.length - 2, Math.floor(place)), part = place - below;
  const mix = (n: 0 | 1 | 2) =>
    Math.round(RAMP[below]![n] * (1 - part) + RAMP[below + 1]![n] * part);
  return [mix(0), mix(1), mix(2)];
}

function colourOf(value: number, [low, high]: readonly [number, number]) {
  if (value === -Infinity) return HIDDEN;
  if (Number.isNaN(value)) return STRANGE;
  return colourAt(high > low ? (value - low) / (high - low) : value > 0 ? 1 : 0);
}

/** An image of 8 bits a channel, RGB; each pair is a square of `cell` pixels. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Draws a rectangle of scores. */
export function drawPixels(
  rectangle: Rectangle,
  range: readonly [number, number],
  cell: number,
): Image {
  const { rows, keys, values } = rectangle, width = keys * cell, height = rows * cell;
  const data = new Uint8Array(3 * width * height);
  for (let row = 0; row < rows; row++) {
    const line = data.subarray(3 * row * cell * width, 3 * (row * cell + 1) * width);
    for (let x = 0; x < width; x++) {
      line.set(colourOf(values[row * keys + Math.floor(x / cell)]!, range), 3 * x);
    }
    for (let more = 1; more < cell; more++) data.set(line, 3 * (row * cell + more) * width);
  }
  return { width, height, data };
}
