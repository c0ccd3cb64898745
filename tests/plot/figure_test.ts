/** Figures: well-formed, named, with a dark twin of every colour, and without anything to fetch. */

import assert from "node:assert/strict";
import { dot, frame, raster, text } from "@observablehq/plot";
import { decode } from "fast-png";
import { drawFigure, type FigureOptions, svgFile } from "../../tools/plot/figure.ts";
import * as palette from "../../tools/plot/palette.ts";
import { readSvg, readXml } from "../../tools/plot/testing/read_svg.ts";

const named = { label: "A < B & C", description: 'what "it" says > nothing' };
const read = (options: Partial<FigureOptions>) =>
  readSvg(svgFile(drawFigure({ ...named, ...options })));

Deno.test("a figure has its name, its description and its data, and escapes what it must", () => {
  const points = [[0, 1], [1, 3], [2, 2]] as const;
  const found = read({ marks: [dot(points, { fill: palette.BLUE }), text(["<&>"])] });
  const texts = (name: string) => found.filter((f) => f.name === name).map(({ text }) => text);
  assert.deepEqual(texts("title"), [named.label]);
  assert.deepEqual(texts("desc"), [named.description]);
  assert.ok(texts("text").includes("<&>"));
  assert.equal(found.filter(({ name }) => name === "circle").length, points.length);
  assert.equal(found[0]!.attributes.role, "img");
});

Deno.test("a raster is one image whose pixels are the cells", () => {
  const cells = [0, 1, 2, 3, 4].map((n) => ({ x: n % 3 + 0.5, y: Math.floor(n / 3) + 0.5, n }));
  const found = read({
    x: { domain: [0, 3] },
    y: { domain: [2, 0] },
    color: { domain: [0, 4], range: ["#000000", "#ffffff"] },
    marks: [
      raster(cells, { x: "x", y: "y", fill: "n", width: 3, height: 2, interpolate: "none" }),
    ],
  });
  const images = found.filter(({ name }) => name === "image");
  assert.equal(images.length, 1);
  const [, base64] = images[0]!.attributes.href!.split("data:image/png;base64,");
  const { width, height, data } = decode(Uint8Array.fromBase64(base64!));
  assert.deepEqual([width, height], [3, 2]);
  const grey = (n: number) => [...data.slice(4 * n, 4 * n + 4)];
  assert.deepEqual(grey(0), [0, 0, 0, 255]);
  assert.deepEqual(grey(4), [255, 255, 255, 255]);
  assert.equal(grey(5)[3], 0, "no cell, no colour");
});

Deno.test("every colour of the palette has a dark one in the style sheet", () => {
  const colours = Object.entries(palette).flatMap(([name, value]) =>
    name === "FIGURE_STYLE" ? [] : value
  );
  assert.ok(colours.length > 12);
  for (const colour of new Set(colours)) {
    for (const property of ["fill", "stroke"]) {
      const rule = new RegExp(`\\[${property}="${colour}"\\] \\{ ${property}: (#[0-9a-f]{6}) \\}`);
      const dark = rule.exec(palette.FIGURE_STYLE)?.[1];
      assert.ok(dark && dark !== colour, `${property} of ${colour}`);
    }
  }
});

Deno.test("text and series stand out from the page by 3:1, by light and by dark", () => {
  const dark = (colour: string) =>
    new RegExp(`\\[fill="${colour}"\\] \\{ fill: (#\\w+)`).exec(palette.FIGURE_STYLE)![1]!;
  for (const colour of [palette.INK, palette.QUIET, ...palette.SERIES]) {
    assert.ok(contrast(colour, palette.PAGE) >= 3, `${colour} on light`);
    assert.ok(contrast(dark(colour), dark(palette.PAGE)) >= 3, `${colour} on dark`);
  }
});

/** As WCAG 2 has it. */
function contrast(a: string, b: string): number {
  const [low, high] = [a, b].map((colour) => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const c = parseInt(colour.slice(at, at + 2), 16) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  }).sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}

Deno.test("a plot that Plot would wrap in HTML is refused by name", () => {
  const legend = { color: { legend: true }, marks: [dot(["a", "b"], { fill: (x: string) => x })] };
  assert.throws(() => drawFigure({ ...named, ...legend }), /Cannot draw "A < B & C": .*<figure>/i);
});

Deno.test("the reader of the tests refuses what is broken", () => {
  assert.throws(() => readXml("<svg><g></svg>"));
  assert.throws(() => readXml("<svg a=b/>"));
  assert.throws(() => readXml("<svg>&</svg>"));
  assert.throws(() => readSvg('<svg><path d="M0,NaN"/></svg>'), RangeError);
  const { markup } = drawFigure({ ...named, marks: [frame()] });
  assert.doesNotThrow(() => readSvg(markup));
});
