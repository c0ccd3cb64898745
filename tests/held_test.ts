/** Arrays that functions captured, changed or taken away while their call waits: no index may leave its array. */

import assert from "node:assert/strict";
import { attentionSync, captured, type Engine, masks, scoreMod } from "../mod.ts";
import { onEngines } from "./engines.ts";
import { plainTensor } from "./inputs.ts";

const length = 40, x = plainTensor(1, [1, length, 1, 8]);
const detach = ({ buffer }: { buffer: ArrayBufferLike }) =>
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });

/** A table that is read at indices from an array, and what the call gives while they stay as they are. */
function indexed() {
  const indices = Int32Array.from({ length }, (_, n) => n % 4),
    values = Float32Array.of(1, 2, 3, 4);
  const at = captured(indices, [length]), table = captured(values, [4], { gradient: true });
  const options = { scoreMod: scoreMod(({ score, key }) => score.mul(table.at(at.at(key)))) };
  return { indices, values, table, options, want: attentionSync(x, x, x, options) };
}

function near(got: ArrayLike<number>, want: ArrayLike<number>): void {
  for (let n = 0; n < want.length; n++) assert.ok(Math.abs(got[n]! - want[n]!) < 1e-5, `${n}`);
}

onEngines("indices are those that were proven, whatever they are changed to", async (engine) => {
  for (const stray of [2 ** 20, 2 ** 31 - 1, -(2 ** 28)]) {
    const { indices, options, want } = indexed();
    const call = engine.attention(x, x, x, options);
    indices.fill(stray);
    near((await call).out.data, want.out.data);
  }
});

onEngines("... in backward, which adds to what they point at", async (engine) => {
  const { indices, table, options, want } = indexed(), saved = { q: x, k: x, v: x, ...want };
  const { dCaptured } = await engine.attentionBackward(x, saved, options);
  const call = engine.attentionBackward(x, saved, options);
  indices.fill(2 ** 20);
  near((await call).dCaptured!.get(table)!.data, dCaptured!.get(table)!.data);
});

onEngines("... and in a rectangle of scores", async (engine) => {
  const { indices, options } = indexed(), part = { stage: "masked", rows: [3, 9] } as const;
  const want = await engine.attentionScores(x, x, { ...options, ...part });
  const call = engine.attentionScores(x, x, { ...options, ...part });
  indices.fill(2 ** 20);
  near((await call).data, want.data);
});

onEngines("an array whose buffer is gone is an error that says so", async (engine: Engine) => {
  const message = /^Cannot run attention: a captured array of shape \[4\] has 0 elements by now/;
  const { values, options } = indexed(), call = engine.attention(x, x, x, options);
  detach(values);
  await assert.rejects(call, { name: "TypeError", message });
  await assert.rejects(engine.attention(x, x, x, options), { name: "TypeError", message });

  const ids = new Int32Array(length), maskMod = masks.documents(ids);
  detach(ids);
  await assert.rejects(engine.attention(x, x, x, { maskMod }), {
    name: "TypeError",
    message: /a captured array of shape \[40\] has 0 elements/,
  });
  await engine.attention(x, x, x); // still usable
});
