/** A trained transformer, speech in and words out, with this library's attention in each of its twelve layers. */

import assert from "node:assert/strict";
import { openEngines } from "../engines.ts";
import { runTakes } from "../selection.ts";
import { readSamples, recognise, withAttention } from "./keywords.ts";
import { dataFolder } from "./shelf.ts";
import { readTfLite } from "./tflite.ts";

const folder = dataFolder("kwt");
const WORDS = "silence unknown yes no up down left right on off stop go".split(" ");

/** What its own engine gives, LiteRT.js 2.5.3 on the CPU (2026-11-27): what is heard, and the logits of WORDS. */
const EXPECTED: Readonly<Record<string, readonly [word: string, logits: readonly number[]]>> = {
  yes: ["yes", [
    ...[-0.214872, -0.419181, 4.420148, -0.359192, -0.311845, -0.270611],
    ...[-0.372444, -0.188341, -0.281974, -0.201013, -0.165211, -0.369769],
  ]],
  no: ["no", [
    ...[-0.388292, -0.800160, -0.461717, 4.324994, -0.455300, -0.622586],
    ...[-0.423376, -0.340224, -0.382515, -0.414885, -0.484373, 0.088418],
  ]],
  silence: ["silence", [
    ...[4.480124, -0.249228, -0.032928, -0.388346, -0.099142, -0.141072],
    ...[-0.266904, -0.204040, -0.346155, -0.015334, -0.198279, -0.507324],
  ]],
  noise: ["down", [
    ...[-1.972192, 0.493149, -0.348908, -0.870747, 0.352105, 1.142952],
    ...[0.590168, -0.639806, -0.001955, -0.427241, -1.055005, -0.009535],
  ]],
};
/** Twelve layers of float32, summed in another order by each engine. */
const TOLERANCE = 1e-5;

Deno.test({
  name: folder
    ? "the keyword transformer hears what it hears on its own engine"
    : "the keyword transformer: not run, its files are not beside this checkout",
  ignore: folder === undefined,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const graph = readTfLite(Deno.readFileSync(new URL("kwt1.tflite", folder)));
    const steps = withAttention(graph), [samples] = graph.tensors[graph.input]!.shape.slice(-1);
    assert.equal(steps.filter((step) => "q" in step).length, 12);
    using open = await openEngines();
    for (const [name, [word, wanted]] of Object.entries(EXPECTED)) {
      const sound = readSamples(new URL(`wav/${name}_1000ms.wav`, folder), samples!);
      for (const [configuration, engine] of open.engines) {
        const rare = engine.backend === "webgpu" ? name !== "yes" : configuration.includes("plain");
        if (rare && !runTakes("rest")) continue;
        await t.step(`${name}, ${configuration}`, async () => {
          const logits = await recognise(graph, steps, sound, async (q, k, v, softmaxScale) => {
            const { out } = await engine.attention(q, k, v, { softmaxScale });
            return out.data as Float32Array;
          });
          assert.equal(WORDS[logits.indexOf(Math.max(...logits))], word);
          const worst = Math.max(...wanted.map((logit, n) => Math.abs(logit - logits[n]!)));
          assert.ok(worst <= TOLERANCE, `logits differ by ${worst}`);
        });
      }
    }
  },
});
