// A picture with axes: the pixels as an image inside, so that a large map stays a small file.
import { Buffer } from "node:buffer";
import { colourAt } from "./pixels.ts";
import { digits } from "../text.ts";

/** What is drawn. */
export interface Drawing {
  /** A PNG, one pixel for each pair. */
  readonly png: Uint8Array;
  /** Queries and keys, `[first, end)`. */
  readonly rows: readonly [number, number];
  readonly keys: readonly [number, number];
  readonly title: string;
  /** What the lightest and the darkest colour stand for. */
  readonly range: readonly [number, number];
}

/** Pixels of the longer side, and of a pair at most. */
const SIDE = 560, MOST_CELL = 28;
const LEFT = 72, TOP = 48, BOTTOM = 24, RIGHT = 96;
const BAR = { gap: 20, width: 14, least: 120 };

/** Places of about six ticks: 0, 20, 40. */
function ticksOf([first, end]: readonly [number, number]): number[] {
  const about = Math.max(1, (end - first) / 6), power = 10 ** Math.floor(Math.log10(about));
  const step = Math.max(1, [1, 2, 5, 10].find((n) => n * power >= about)! * power);
  const begin = Math.ceil(first / step) * step;
  return Array.from(
    { length: Math.max(0, Math.ceil((end - begin) / step)) },
    (_, n) => begin + n * step,
  );
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A tick stands at the middle of its pair. */
function axis(range: readonly [number, number], cell: number, along: "x" | "y"): string[] {
  return ticksOf(range).map((n) => {
    const at = ((n - range[0] + 0.5) * cell).toFixed(1);
    return along === "x"
      ? `<path d="M${at} 0v-5"/><text x="${at}" y="-9" text-anchor="middle">${n}</text>`
      : `<path d="M0 ${at}h-5"/><text x="-9" y="${at}" dy="4" text-anchor="end">${n}</text>`;
  });
}

/** The picture. */
export function drawSvg({ png, rows, keys, title, range }: Drawing): string {
  const count = [rows[1] - rows[0], keys[1] - keys[0]] as const;
  const cell = Math.min(MOST_CELL, SIDE / Math.max(...count, 1));
  const height = count[0] * cell, width = count[1] * cell;
  const barHeight = Math.max(BAR.least, Math.min(height, 240));
  const [all, tall] = [
    Math.max(LEFT + width + RIGHT, 300),
    TOP + 24 + Math.max(height, barHeight) + BOTTOM,
  ];
  const stops = [0, 0.2, 0.4, 0.6, 0.8, 1].map((share) =>
    `<stop offset="${share}" stop-color="rgb(${colourAt(1 - share).join(" ")})"/>`
  );
  const data = Buffer.from(png.buffer, png.byteOffset, png.byteLength).toString("base64");
  const barX = width + BAR.gap;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${all.toFixed(0)} ${tall.toFixed(0)}"`,
    `  width="${all.toFixed(0)}" height="${
      tall.toFixed(0)
    }" font-family="system-ui, sans-serif" font-size="12">`,
    `<defs><linearGradient id="ramp" x1="0" y1="0" x2="0" y2="1">${
      stops.join("")
    }</linearGradient></defs>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${LEFT}" y="20" font-size="14" font-weight="600">${escaped(title)}</text>`,
    `<g transform="translate(${LEFT} ${TOP + 24})" stroke="none" fill="#333">`,
    `<image width="${width}" height="${height}" preserveAspectRatio="none"`,
    `  style="image-rendering: pixelated" href="data:image/png;base64,${data}"/>`,
    `<rect width="${width}" height="${height}" fill="none" stroke="#888"/>`,
    `<g class="axes"><style>.axes path, .bar path { stroke: #888; fill: none }</style>`,
    ...axis(keys, cell, "x"),
    ...axis(rows, cell, "y"),
    `<text x="${width / 2}" y="-28" text-anchor="middle">key</text>`,
    `<text transform="translate(-48 ${height / 2}) rotate(-90)" text-anchor="middle">query</text>`,
    `</g>`,
    `<g class="bar" transform="translate(${barX} 0)">`,
    `<rect width="${BAR.width}" height="${barHeight}" fill="url(#ramp)" stroke="#888"/>`,
    `<text x="${BAR.width + 6}" y="10">${digits(range[1])}</text>`,
    `<text x="${BAR.width + 6}" y="${barHeight}">${digits(range[0])}</text>`,
    `</g>`,
    `</g>`,
    `</svg>`,
    ``,
  ].join("\n");
}
