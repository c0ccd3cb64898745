/** The task that runs the rest of the tests names every file that has a part in it. */

import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { FILES } from "./prose.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("deno task test:rest names the files that leave something to it", async () => {
  const named = denoJson.tasks["test:rest"].match(/(tests|examples)\/\S+_test\.ts/g)!.sort();
  const found: string[] = [];
  for (const file of FILES.filter((file) => /^(tests|examples)\/.*_test\.ts$/.test(file))) {
    if (file.startsWith("tests/internals/parts")) continue;
    const text = await Deno.readTextFile(new URL(file, ROOT));
    if (/"rest"|"by case"|gridConfigurations|onBackends|testSessions/.test(text)) found.push(file);
  }
  assert.deepEqual(named, found.sort());
});
