/** The ONNX project's own cases of its Attention operator, where they lie beside the repository. */

import { assertClose } from "./assert_close.ts";
import { engineConfigurations, gpuConfiguration, openAll, syncConfiguration } from "./backends.ts";
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
    ? `attention() gives the Y of ${names.length} ONNX cases`
    : `ONNX cases: not run, no folder ${folder.pathname}`,
  ignore: names.length === 0,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using open = await openAll([...engineConfigurations, syncConfiguration]);
    for (const name of names) {
      const { q, k, v, options, y, otherOutputs } = readOnnxCase(new URL(`${name}/`, folder));
      const unchecked = otherOutputs.length > 0 ? ` (Y only, not ${otherOutputs.join(", ")})` : "";
      await t.step(name + unchecked, async () => {
        const dtype = dtypeOf(q);
        const want = { values: readPacked(y), bound: bounds[dtype], dtype };
        for (const [configuration, session] of open.sessions) {
          // each case has sizes of its own and so kernels of its own, 1 to 5 s to compile in software
          const rare = configuration === gpuConfiguration.name &&
            ![0, 20].includes(names.indexOf(name));
          if (!runTakes(rare ? "rest" : "core")) continue;
          const { out } = await session.forward({ q, k, v, options });
          const subject = { result: "Y", configuration, caseName: name, seed: 0 };
          const rerun = "deno task test tests/onnx_test.ts";
          assertClose({ ...subject, rerun }, readPacked(out), want, out.shape);
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
