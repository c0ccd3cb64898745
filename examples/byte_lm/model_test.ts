import assert from "node:assert/strict";
import { createEngine } from "../../mod.ts";
import { KeyValueCache } from "./kv_cache.ts";
import { ByteModel } from "./model.ts";
import type { ModelShape } from "./parameters.ts";
import { Random } from "./random.ts";

const shape: ModelShape = {
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 6,
  dim: 10,
  context: 13,
};
const batch = 2;

function randomBytes(count: number, random: Random): Uint8Array {
  return Uint8Array.from({ length: count }, () => random.below(256));
}

async function withModel(
  body: (model: ByteModel, random: Random) => Promise<void>,
): Promise<void> {
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  try {
    const random = new Random(7);
    await body(new ByteModel(shape, random, engine), random);
  } finally {
    engine.dispose();
  }
}

Deno.test("byte_lm: every gradient matches finite differences", () =>
  withModel(async (model, random) => {
    const tokens = randomBytes(batch * shape.context, random);
    const targets = randomBytes(batch * shape.context, random);
    await model.lossAndGradients(tokens, targets, shape.context);
    for (const { name, value, gradient } of model.parameters) {
      // Along one random direction per array. The loss is computed in float32, so the step is
      // large enough to stand out from rounding and small enough for the curve to look straight.
      const direction = Float32Array.from(value, () => random.normal(1));
      const step = 1e-2 / Math.sqrt(value.length);
      const before = value.slice();
      const lossAt = (distance: number): Promise<number> => {
        for (let i = 0; i < value.length; i++) {
          value[i] = before[i]! + distance * direction[i]!;
        }
        return model.loss(tokens, targets, shape.context);
      };
      const measured = (await lossAt(step) - await lossAt(-step)) / (2 * step);
      value.set(before);
      const expected = gradient.reduce(
        (sum, g, i) => sum + g * direction[i]!,
        0,
      );
      assert.ok(
        Math.abs(measured - expected) <= 0.005 * Math.abs(expected) + 2e-5,
        `${name}: gradient ${expected}, finite differences ${measured}`,
      );
    }
  }));

Deno.test("byte_lm: decode step by step gives the logits of reading everything at once", () =>
  withModel(async (model, random) => {
    const tokens = randomBytes(shape.context, random);
    const whole = await model.extend(new KeyValueCache(shape), tokens);
    const cache = new KeyValueCache(shape);
    await model.extend(cache, tokens.subarray(0, 5));
    let stepped = new Float32Array(0);
    for (let i = 5; i < tokens.length; i++) {
      stepped = Float32Array.from(
        await model.extend(cache, tokens.subarray(i, i + 1)),
      );
    }
    for (let c = 0; c < whole.length; c++) {
      assert.ok(
        Math.abs(whole[c]! - stepped[c]!) < 1e-4,
        `logit ${c}: ${whole[c]}, ${stepped[c]}`,
      );
    }
  }));
