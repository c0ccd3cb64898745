import assert from "node:assert/strict";
import { createEngine, type Engine } from "../../mod.ts";
import { ByteModel } from "./model.ts";
import { readModel, writeModel } from "./model_file.ts";
import type { ModelShape } from "./parameters.ts";
import { Random } from "./random.ts";
import { splitText } from "./text.ts";
import { Trainer } from "./train.ts";

const shape: ModelShape = {
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 6,
  dim: 10,
  context: 16,
};
const words = new TextEncoder().encode(
  "the cat sat on the mat, the dog sat on the log. ".repeat(20),
);
const text = splitText("a text", words, shape.context);

async function withEngine(
  body: (engine: Engine) => Promise<void> | void,
): Promise<void> {
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  try {
    await body(engine);
  } finally {
    engine.dispose();
  }
}

const values = (model: ByteModel): Float32Array[] => model.parameters.map(({ value }) => value);

Deno.test("byte_lm: a run that is saved and read goes on as if it had not stopped, bit for bit", () =>
  withEngine(async (engine) => {
    const steps = async (trainer: Trainer, count: number): Promise<void> => {
      for (let n = 0; n < count; n++) await trainer.step(0.01);
    };
    const whole = new ByteModel(shape, new Random(3), engine);
    await steps(new Trainer(whole, text, 2, 5), 6);

    const first = new ByteModel(shape, new Random(3), engine);
    const trainer = new Trainer(first, text, 2, 5);
    await steps(trainer, 3);
    const { model, run } = readModel(
      "file",
      writeModel(first, "F32", trainer.state),
      engine,
    );
    assert.deepEqual(model.shape, shape);
    const second = new Trainer(model, text, 2, run!);
    assert.equal(second.steps, 3);
    await steps(second, 3);
    assert.deepEqual(values(model), values(whole));
    assert.deepEqual(second.history.training.map(({ step }) => step), [
      4,
      5,
      6,
    ]);
  }));

Deno.test("byte_lm: a file of 16 bits holds the weights rounded, and reads a longer context", () =>
  withEngine((engine) => {
    const saved = new ByteModel(shape, new Random(3), engine);
    const file = writeModel(saved, "F16");
    const { model, run } = readModel("file", file, engine, 500);
    assert.equal(run, undefined);
    assert.equal(model.shape.context, 500);
    values(model).forEach((array, n) => {
      assert.deepEqual(
        array,
        Float32Array.from(new Float16Array(values(saved)[n]!)),
      );
    });
    assert.ok(file.length < 0.6 * writeModel(saved, "F32").length);
  }));

Deno.test("byte_lm: what is no model says so in words", () =>
  withEngine((engine) => {
    const model = new ByteModel(shape, new Random(3), engine),
      file = writeModel(model, "F32");
    const reads = (bytes: Uint8Array): () => unknown => () => readModel("my.file", bytes, engine);
    const changed = (from: string, to: string): Uint8Array => {
      const bytes = file.slice(),
        at = new TextDecoder("latin1").decode(bytes).indexOf(from);
      assert.ok(at > 0 && from.length === to.length);
      bytes.set(new TextEncoder().encode(to), at);
      return bytes;
    };
    assert.throws(
      reads(new Uint8Array(0)),
      /^RangeError: Cannot read my\.file: it is empty$/,
    );
    const other = /Cannot read my\.file: it is not a model that was saved here/;
    assert.throws(reads(words), other);
    assert.throws(
      reads(changed("flashtile byte model", "some other nice file")),
      other,
    );
    assert.throws(
      reads(file.subarray(0, 100)),
      /ends after 100 bytes, in the middle of its header/,
    );
    for (const cut of [1, 100, 4000, 20_000]) {
      const end = file.length - cut;
      assert.throws(
        reads(file.subarray(0, end)),
        new RegExp(`ends after ${end} bytes, but should have ${file.length}`),
      );
    }
    assert.throws(
      reads(changed('"dim":"10"', '"dim":"90"')),
      /no model has the sizes .*dim 90/,
    );
    assert.throws(
      reads(changed('"dim":"10"', '"dim":"12"')),
      /does not have the 3072 numbers/,
    );
    assert.throws(
      reads(changed('"layers":"2"', '"layers":"x"')),
      /its layers is x/,
    );
    assert.throws(
      reads(changed('"headDim":"6"', '"headDim":"5"')),
      /no model has the sizes/,
    );
    const infinite = file.slice();
    infinite.set([0, 0, 0x80, 0x7f], file.length - 4);
    assert.throws(
      reads(infinite),
      /output bias has numbers that are not finite/,
    );
  }));
