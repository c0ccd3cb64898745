import assert from "node:assert/strict";
import { svgFile } from "../../tools/plot/figure.ts";
import { readSvg } from "../../tools/plot/testing/read_svg.ts";
import { drawLossCurve } from "./loss_chart.ts";
import { drawAttentionMaps } from "./map_chart.ts";
import type { LossPoint } from "./train.ts";

const history = (steps: number) => {
  const at = (step: number): LossPoint => ({ step, loss: 5.5 - step / steps });
  const training = Array.from({ length: steps }, (_, n) => at(n + 1));
  const heldOut = [0, 1, steps].map(at);
  return { training, heldOut, seconds: 1, bytesTrained: 100, attentionShare: 0.5 };
};

Deno.test("byte_lm: the loss curve holds every step, every check and every reference", () => {
  for (const steps of [1, 40]) {
    const references = [{ label: "uniform <guess>", loss: 5.545 }];
    const figure = drawLossCurve(history(steps), references, "2 layers & 4 heads");
    const found = readSvg(svgFile(figure));
    const texts = found.filter(({ name }) => name === "text").map(({ text }) => text);
    for (const wanted of ["uniform <guess> 5.545", "2 layers & 4 heads", "nats per byte"]) {
      assert.ok(texts.includes(wanted), wanted);
    }
    assert.ok(texts.includes("held out, never trained on: 4.500"));
    assert.equal(found.filter(({ name }) => name === "circle").length, 3);
    const longest = Math.max(
      ...found.map(({ attributes }) => attributes.d?.match(/[ML]/g)?.length ?? 0),
    );
    assert.equal(longest, Math.max(steps, 3), "points of the longest line");
  }
});

Deno.test("byte_lm: the maps are one image a head, with the letters of the text beside each", () => {
  const length = 9, tokens = new TextEncoder().encode("<a & b>\n\x00");
  assert.equal(tokens.length, length);
  const weights = Float32Array.from(
    { length: length * length },
    (_, n) => n % length <= Math.floor(n / length) ? 1 / (1 + Math.floor(n / length)) : 0,
  );
  const maps = [0, 1].flatMap((layer) =>
    [0, 1, 2, 3, 4].map((head) => ({ layer, head, length, weights }))
  );
  const found = readSvg(svgFile(drawAttentionMaps(maps, tokens)));
  const named = (name: string) => found.filter((element) => element.name === name);
  assert.equal(named("image").length, maps.length + 1, "the maps and the scale of colours");
  const texts = named("text").map(({ text }) => text);
  for (const { layer, head } of maps) {
    assert.equal(
      texts.filter((text) => text === `layer ${layer + 1} · head ${head + 1}`).length,
      1,
    );
  }
  for (const letter of ["<", "&", "b", "\u21b5"]) {
    // on two sides of each panel
    assert.equal(texts.filter((text) => text === letter).length, 2 * maps.length, letter);
  }
  assert.match(named("desc")[0]!.text, /layer 2 · head 5: itself \d+ %/);
});
