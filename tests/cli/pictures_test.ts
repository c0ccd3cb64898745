// `map`: the pixels are the scores.
import assert from "node:assert/strict";
import { decode } from "fast-png";
import { attention, attentionScores, type HostTensor } from "../../mod.ts";
import { EXIT } from "../../src/cli/exit.ts";
import { safetensorsParts } from "../../src/cli/files/safetensors.ts";
import { colourAt } from "../../src/cli/picture/pixels.ts";
import { cli, inFolder, joined, tensor } from "./session.ts";

const operands = { q: tensor([2, 40, 3, 8], 1), k: tensor([2, 50, 3, 8], 2) };

async function write(folder: string): Promise<string> {
  await Deno.writeFile(`${folder}/x.safetensors`, joined(safetensorsParts(operands)));
  return `${folder}/x.safetensors`;
}

async function probabilities(options: object): Promise<HostTensor<Float32Array>> {
  const { q, k } = operands, { lse } = await attention(q, k, k, options);
  const wanted = { ...options, stage: "probabilities", lse } as const;
  return await attentionScores(q as HostTensor<Float32Array>, k, wanted) as HostTensor<
    Float32Array
  >;
}

Deno.test("a PNG has the colour of each weight", () =>
  inFolder(async (folder) => {
    const input = await write(folder), output = `${folder}/m.png`;
    const choice = ["--sequence=1", "--head=2", "--rows=10:40", "--keys=5:45", "--cell=3"];
    const args = ["map", "--input", input, "--output", output, "--causal=5", ...choice, "--json"];
    const { code, stdout, stderr } = await cli(args);
    assert.deepEqual([code, stderr], [EXIT.done, ""]);
    const { width, height, data, channels } = decode(await Deno.readFile(output));
    assert.deepEqual([width, height, channels], [40 * 3, 30 * 3, 3]);
    const all = (await probabilities({ causal: { offset: 5 } })).data;
    const at = (i: number, j: number) => all[((1 * 3 + 2) * 40 + i) * 50 + j]!;
    const highest = JSON.parse(stdout).highest;
    for (const [x, y] of [[0, 0], [119, 89], [60, 44], [17, 70]] as const) {
      const i = 10 + Math.floor(y / 3), j = 5 + Math.floor(x / 3), from = 3 * (y * width + x);
      assert.deepEqual([...data.slice(from, from + 3)], [...colourAt(at(i, j) / highest)]);
    }
  }));

Deno.test("an SVG holds one pixel for each pair, axes and a scale", () =>
  inFolder(async (folder) => {
    const output = `${folder}/m.svg`, rectangle = ["--rows=0:40", "--keys=10:50", "--stage=masked"];
    const args = ["map", "--input", await write(folder), "--output", output, ...rectangle];
    const { code, stdout, stderr } = await cli([...args, "--window=3,3"]);
    assert.deepEqual([code, stderr], [EXIT.done, ""]);
    assert.match(stdout, /m\.svg: masked, sequence 0, head 0, queries 0:40, keys 10:50, from /);
    const svg = await Deno.readTextFile(output);
    const base64 = /href="data:image\/png;base64,([^"]+)"/.exec(svg)![1]!;
    const { width, height, data } = decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
    assert.deepEqual([width, height], [40, 40]);
    // query 0 sees keys 7 to 13 (its diagonal is 10); what is hidden is grey
    assert.deepEqual([...data.slice(3 * 39, 3 * 40)], [0xdd, 0xdd, 0xdd]);
    assert.notDeepEqual([...data.slice(0, 3)], [0xdd, 0xdd, 0xdd]);
    for (const text of [">key<", ">query<", ">20</text>", "masked, sequence 0, head 0"]) {
      assert.ok(svg.includes(text), text);
    }
  }));

Deno.test("a rectangle that is not there is refused", () =>
  inFolder(async (folder) => {
    const input = await write(folder),
      base = ["map", "--input", input, "--output", `${folder}/m.png`];
    const cases: readonly (readonly [string, string])[] = [
      ["--rows=0:41", "Cannot use --rows 0:41: it must begin before it ends, and end by 40"],
      ["--keys=7:7", "Cannot use --keys 7:7: it must begin before it ends, and end by 50"],
      ["--head=3", "Cannot use --head 3: q has 3"],
      ["--sequence=2", "Cannot use --sequence 2: q has 2"],
    ];
    for (const [flag, message] of cases) {
      const { code, stderr } = await cli([...base, flag]);
      assert.deepEqual([code, stderr], [EXIT.usage, `${message}\n`]);
    }
  }));
