/** Draws six masks side by side as an SVG picture: `deno run --allow-write examples/draw_mask.ts masks.svg`. */
import { frame, rect, text } from "@observablehq/plot";
import { attentionScores, type MaskMod, masks } from "../mod.ts";
import { drawFigure, svgFile } from "../tools/plot/figure.ts";
import { BLUE, EMPTY, INK, QUIET } from "../tools/plot/palette.ts";

const [file = "masks.svg", ...more] = Deno.args;
if (more.length > 0 || !file.endsWith(".svg")) {
  console.error("usage: deno run --allow-write examples/draw_mask.ts [FILE.svg]");
  Deno.exit(2);
}

const LENGTH = 32;
/** Width of a mask, of the space around it, and height of its title, in pixels. */
const SIDE = 7 * LENGTH, SPACE = 24, TITLE = 64;
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

/** The keys from `first` to `end`, which query i sees. */
interface Run {
  readonly i: number;
  readonly first: number;
  end: number;
}

function runsOf(rows: readonly (readonly boolean[])[]): Run[] {
  return rows.flatMap((row, i) => {
    const found: Run[] = [];
    row.forEach((seen, j) => {
      if (seen && row[j - 1]) found.at(-1)!.end = j + 1;
      else if (seen) found.push({ i, first: j, end: j + 1 });
    });
    return found;
  });
}

const panels = await Promise.all(drawn.map(async ({ title, code, mask }, n) => {
  const place = { column: n % COLUMNS, row: Math.floor(n / COLUMNS) };
  return { ...place, title, code, runs: runsOf(await visible(mask)) };
}));
const runs = panels.flatMap(({ runs, column, row }) =>
  runs.map((run) => ({ ...run, column, row }))
);
const lines = Math.ceil(panels.length / COLUMNS);
const panel = { fx: "column", fy: "row" } as const, top = { frameAnchor: "top-left" } as const;
const figure = drawFigure({
  label: `Masks: ${panels.map(({ title }) => title).join(", ")}`,
  description: `Queries from top to bottom, keys from left to right, ${LENGTH} of each; a query ` +
    "sees the filled keys of its row",
  width: COLUMNS * (SIDE + SPACE) + SPACE,
  height: lines * (SIDE + TITLE) + SPACE,
  ...{ marginTop: TITLE, marginBottom: SPACE, marginLeft: SPACE, marginRight: SPACE },
  fx: { axis: null, padding: SPACE / (SIDE + SPACE) },
  fy: { axis: null, padding: TITLE / (SIDE + TITLE) },
  x: { domain: [0, LENGTH], axis: null },
  y: { domain: [LENGTH, 0], axis: null },
  marks: [
    frame({ fill: EMPTY, stroke: "none" }),
    rect(runs, {
      ...{ ...panel, x1: "first", x2: "end", y1: "i", y2: ({ i }: Run) => i + 1 },
      ...{ fill: BLUE, shapeRendering: "crispEdges" },
    }),
    text(panels, {
      ...{ ...panel, ...top, text: "title", dy: -38, fontSize: 13, fontWeight: 600, fill: INK },
    }),
    text(panels, {
      ...{ ...panel, ...top, text: "code", dy: -19, fontSize: 11, fill: QUIET },
      fontFamily: "ui-monospace, monospace",
    }),
  ],
});

await Deno.writeTextFile(file, svgFile(figure));
console.log(`${drawn.length} masks of ${LENGTH} tokens in ${file}`);
