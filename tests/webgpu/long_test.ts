/**
 * Streams longer than llvmpipe's loops: it ends every loop of an invocation after 65535 turns of all of them, without a
 * word, so plans for software adapters must cut keys and rows before that.
 */

import assert from "node:assert/strict";
import { attentionBackwardSync, attentionSync, type HostTensor } from "../../mod.ts";
import { plainTensor } from "../inputs.ts";
import { gpuEngine, gpuTest } from "./support.ts";

function assertNear(got: HostTensor, want: HostTensor, what: string): void {
  const [a, b] = [got.data, want.data] as [Float32Array, Float32Array];
  const largest = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const worst = a.reduce((most, x, n) => Math.max(most, Math.abs(x - b[n]!)), 0);
  assert.ok(worst <= 1e-4 * largest, `${what} is off by ${worst}, its largest value is ${largest}`);
}

gpuTest("19200 query rows of a group meet 32 keys as in WASM", async () => {
  using engine = await gpuEngine();
  const q = plainTensor(1, [1, 2400, 8, 128]), k = plainTensor(2, [1, 32, 1, 128]);
  const saved = attentionSync(q, k, k), inputs = { q, k, v: k, ...saved };
  const got = await engine.attentionBackward(q, inputs), want = attentionBackwardSync(q, inputs);
  for (const name of ["dq", "dk", "dv"] as const) assertNear(got[name], want[name], name);
}, { part: "rest" });

gpuTest("one tile of queries meets 120000 keys as in WASM", async () => {
  using engine = await gpuEngine();
  const q = plainTensor(1, [1, 20, 1, 20]), k = plainTensor(2, [1, 120000, 1, 20]);
  const want = attentionSync(q, k, k), got = await engine.attention(q, k, k);
  for (const name of ["out", "lse"] as const) assertNear(got[name], want[name], name);
  const inputs = { q, k, v: k, ...want };
  const { dq } = await engine.attentionBackward(q, inputs);
  assertNear(dq, attentionBackwardSync(q, inputs).dq, "dq");
}, { part: "rest" });
