import assert from "node:assert/strict";
import { readFlags } from "./flags.ts";

Deno.test("fuzz: flags that would make a run of nothing are refused", () => {
  const { seconds, engine, call } = readFlags(["--seconds=3", "--engine=wasm", "--call=files"])!;
  assert.deepEqual([seconds, engine, call], [3, "wasm", "files"]);
  assert.equal(readFlags(["--help"]), undefined);
  assert.throws(() => readFlags(["--seconds=soon"]), /--seconds=soon: expected a number from 0/);
  assert.throws(() => readFlags(["--second=3"]), /Unknown option '--second'/);
  assert.throws(() => readFlags(["--engine=cpu"]), /--engine=cpu: expected wasm, threads, webgpu/);
  assert.throws(() => readFlags(["--call=atention"]), /--call=atention: expected one of files/);
});
