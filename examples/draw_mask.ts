/** Draws six masks side by side as an SVG picture: `deno run --allow-write examples/draw_mask.ts masks.svg`. */
import { attentionScores, type MaskMod, masks } from "../mod.ts";

const LENGTH = 32;
/** Width of a pair, of the space around a mask, and height of its title, in pixels. */
const CELL = 7, SPACE = 24, TITLE = 40;
const COLUMNS = 3;

const ids = Int32Array.from({ length: LENGTH }, (_, n) => n < 9 ? 0 : n < 23 ? 1 : 2);

const drawn: readonly { readonly title: string; readonly code: string; readonly mask: MaskMod }[] =
  [
    { title: "causal", code: "causal()", mask: masks.causal() },
    { title: "sliding window", code: "window(7, 0)", mask: masks.window(7, 0) },
    {
      title: "prefix LM",
      code: "prefix(10).or(causal())",
      mask: masks.prefix(10).or(masks.causal()),
    },
    {
      title: "packed documents",
      code: "documents(ids).and(causal())",
      mask: masks.documents(ids).and(masks.causal()),
    },
    {
      title: "window and global tokens",
      code: "window(4, 4).or(globalTokens(3))",
      mask: masks.window(4, 4).or(masks.globalTokens(3)),
    },
    { title: "dilated window", code: "dilated(4, 3)", mask: masks.dilated(4, 3) },
  ];

/** Which pairs a mask shows, row by row. Hidden scores are minus infinity. */
async function visible(mask: MaskMod): Promise<boolean[][]> {
  const x = { data: new Float32Array(LENGTH), shape: [1, LENGTH, 1, 1] };
  const { data } = await attentionScores(x, x, { maskMod: mask, stage: "masked" });
  const row = (i: number) => data.subarray(i * LENGTH, (i + 1) * LENGTH);
  return Array.from({ length: LENGTH }, (_, i) => [...row(i)].map((score) => score === 0));
}

/** The keys that a query sees as runs `[first, end)`. */
function runs(row: readonly boolean[]): [first: number, end: number][] {
  const found: [number, number][] = [];
  row.forEach((seen, j) => {
    if (!seen) return;
    if (j > 0 && row[j - 1]) found.at(-1)![1] = j + 1;
    else found.push([j, j + 1]);
  });
  return found;
}

/** One mask: queries from top to bottom, keys from left to right. */
function picture(rows: readonly boolean[][], title: string, code: string): string {
  const size = LENGTH * CELL;
  const bars = rows.flatMap((row, i) =>
    runs(row).map(([first, end]) =>
      `M${first * CELL} ${i * CELL}h${(end - first) * CELL}v${CELL}H${first * CELL}z`
    )
  );
  return [
    `<text y="14" font-weight="600">${title}</text>`,
    `<text y="30" class="code">${code}</text>`,
    `<g transform="translate(0 ${TITLE})">`,
    `<rect width="${size}" height="${size}" fill="#eef1f6"/>`,
    `<path fill="#2f5fb3" shape-rendering="crispEdges" d="${bars.join("")}"/>`,
    "</g>",
  ].join("\n");
}

const step = LENGTH * CELL + SPACE, line = step + TITLE;
const width = COLUMNS * step + SPACE, height = Math.ceil(drawn.length / COLUMNS) * line + SPACE;
const parts = await Promise.all(drawn.map(async ({ title, code, mask }, n) => {
  const x = SPACE + n % COLUMNS * step, y = SPACE + Math.floor(n / COLUMNS) * line;
  return `<g transform="translate(${x} ${y})">\n${picture(await visible(mask), title, code)}\n</g>`;
}));
const svg = [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"`,
  `  width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="13">`,
  "<style>.code { font: 11px ui-monospace, monospace; fill: #5b6472 }</style>",
  `<rect width="${width}" height="${height}" fill="#fff"/>`,
  ...parts,
  "</svg>\n",
].join("\n");

const file = Deno.args[0] ?? "masks.svg";
await Deno.writeTextFile(file, svg);
console.log(`${drawn.length} masks of ${LENGTH} tokens in ${file}`);
