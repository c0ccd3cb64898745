/**
 * Trains the heads that the page shows, on this project's own pages, and writes them in 16 bits:
 *
 *     deno run -A examples/byte_lm/train_heads.ts RUN.safetensors [SECONDS]
 *
 * RUN.safetensors keeps the run, so that it can stop after SECONDS and go on with the same command; after the last
 * step the file heads.safetensors of the page is written. The pages change, so another day it is another model.
 */
import { createEngine } from "../../mod.ts";
import { readOwnPages } from "./load_text.ts";
import { ByteModel } from "./model.ts";
import { readModel, writeModel } from "./model_file.ts";
import { Random } from "./random.ts";
import { splitText } from "./text.ts";
import { Trainer, warmUp } from "./train.ts";

/**
 * A file of 106 KiB. In so few steps no head learns to look for what followed the same letters before; 12000, on a text in
 * which every few dozen bytes come again, did not change that.
 */
const SHAPE = { layers: 2, heads: 4, kvHeads: 1, headDim: 16, dim: 64, context: 512 };
const STEPS = 4000, RATE = 0.006, SEED = 1;

const [path, seconds = "200"] = Deno.args;
if (path === undefined) throw new Error("Cannot train: name a file that keeps the run");
const { name, bytes } = await readOwnPages();
const text = splitText(name, bytes, SHAPE.context);
const engine = await createEngine({ backend: "wasm", threads: 1 });
const saved = await Deno.readFile(path).catch(() => undefined);
const { model, run } = saved
  ? readModel(path, saved, engine)
  : { model: new ByteModel(SHAPE, new Random(SEED), engine), run: undefined };
const trainer = new Trainer(model, text, 1, run ?? SEED);
const start = performance.now();
let recent = NaN;
while (trainer.steps < STEPS && performance.now() - start < 1000 * Number(seconds)) {
  const done = trainer.steps / STEPS;
  const cooling = 0.02 +
    0.98 * 0.5 * (1 + Math.cos(Math.PI * Math.max(0, 1.5 * done - 0.5)));
  const loss = await trainer.step(RATE * warmUp(trainer.steps + 1) * cooling);
  recent = Number.isNaN(recent) ? loss : 0.98 * recent + 0.02 * loss;
  if (trainer.steps % 100 === 0) {
    console.log(`step ${trainer.steps}, loss ${recent.toFixed(3)}`);
  }
}
console.log(
  `held-out loss ${(await trainer.readHeldOut()).toFixed(3)} after ${trainer.steps} steps`,
);
await Deno.writeFile(path, writeModel(model, "F32", trainer.state));
if (trainer.steps === STEPS) {
  await Deno.writeFile(
    new URL("../page/assets/heads.safetensors", import.meta.url),
    writeModel(model, "F16"),
  );
}
engine.dispose();
