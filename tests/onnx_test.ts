/** The ONNX project's own cases of its Attention operator, where they lie beside the repository. */

import assert from "node:assert/strict";
import type { OnnxOutputName } from "../src/onnx.ts";
import { onnxAttention } from "../src/onnx.ts";
import { assertClose } from "./assert_close.ts";
import { hostTensor } from "./backends.ts";
import { openEngines } from "./engines.ts";
import { readOnnxCase } from "./onnx_case.ts";
import { dtypeOf } from "./oracle.ts";
import { readPacked } from "./reference/problem.ts";
import { runTakes } from "./selection.ts";

const folder = new URL("../../shared/conformance/onnx-attention/", import.meta.url);

/** Their expected values are computed in the working dtype by numpy: a few roundings of values around 1. */
const bounds = { f32: 2e-6, f16: 2e-3, bf16: 2e-2 };

const names = listCases();

Deno.test({
  name: names.length > 0
    ? `onnxAttention() gives the outputs of ${names.length} ONNX cases`
    : `ONNX cases: not run, no folder ${folder.pathname}`,
  ignore: names.length === 0,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    using open = await openEngines();
    for (const name of names) {
      const { inputs, attributes, opset, outputs } = readOnnxCase(new URL(`${name}/`, folder));
      await t.step(name, async () => {
        for (const [configuration, engine] of open.engines) {
          // each case has sizes of its own and so kernels of its own, 1 to 5 s to compile in software
          const rare = engine.backend === "webgpu" && ![0, 20].includes(names.indexOf(name));
          if (!runTakes(rare ? "rest" : "core")) continue;
          const wanted = Object.keys(outputs) as OnnxOutputName[];
          const got = await onnxAttention(inputs, attributes, { outputs: wanted, opset, engine });
          assert.deepEqual(Object.keys(got).sort(), wanted.toSorted());
          for (const result of wanted) {
            const want = outputs[result]!, found = hostTensor(got[result]), dtype = dtypeOf(want);
            assert.deepEqual([found.shape, found.dtype], [want.shape, dtype]);
            const exact = result.startsWith("present");
            const expected = { values: readPacked(want), bound: exact ? 0 : bounds[dtype], dtype };
            const subject = { result, configuration, caseName: name, seed: 0 };
            const rerun = "deno task test tests/onnx_test.ts";
            assertClose({ ...subject, rerun }, readPacked(found), expected, found.shape);
          }
        }
      });
    }
  },
});

/** Folder names of the cases; none where the folder is absent or may not be read. */
function listCases(): string[] {
  if (Deno.permissions.querySync({ name: "read", path: folder }).state !== "granted") return [];
  try {
    return [...Deno.readDirSync(folder)].filter(({ isDirectory }) => isDirectory)
      .map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
