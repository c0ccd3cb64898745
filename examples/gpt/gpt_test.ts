import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { Random } from "../byte_lm/random.ts";
import { type Batch, randomBatch } from "../byte_lm/text.ts";
import { run, start, testProcess } from "../llama/testing/process.ts";
import { type AttentionName, createAttention } from "../transformer/attention.ts";
import { partTest } from "../../tests/selection.ts";
import { type BackendName, openBackend } from "../transformer/backend.ts";
import { loadCorpus } from "./corpus.ts";
import { gradientsAtOnce, gradientsByStage } from "./gradients.ts";
import { Learner, type LearnerOptions } from "./learner.ts";
import { Gpt } from "./model.ts";
import { parseOptions } from "./options.ts";

const tiny: LearnerOptions = {
  ...{ layers: 2, heads: 2, dim: 16, context: 24 },
  ...{ rate: 0.01, seed: 3, recompute: false },
};
const text = new TextEncoder().encode("the cat sat on the mat; ".repeat(20));
const NAMES: readonly AttentionName[] = ["flash", "materialised", "by-heads"];

/** Losses of some steps, and that they leave no tensors behind. */
async function lossesOf(name: AttentionName, options: LearnerOptions, steps: number) {
  const before = tf.memory().numTensors, random = new Random(4);
  const learner = await Learner.create(name, options);
  const losses: number[] = [];
  let flat = 0;
  for (let step = 0; step < steps; step++) {
    losses.push(learner.step(randomBatch(text, 2, options.context, random)));
    if (step === 1) flat = tf.memory().numTensors;
  }
  assert.equal(tf.memory().numTensors, flat, "a step leaves tensors behind");
  learner.dispose();
  assert.equal(tf.memory().numTensors, before, "a model leaves tensors behind");
  return losses;
}

function near(got: readonly number[], want: readonly number[], tolerance: number): void {
  assert.equal(got.length, want.length);
  for (const [n, value] of got.entries()) {
    assert.ok(Math.abs(value - want[n]!) <= tolerance, `${n}: ${value}, expected ${want[n]}`);
  }
}

for (const backend of ["wasm", "cpu"] as const satisfies BackendName[]) {
  const part = backend === "cpu" ? "rest" : "core";
  partTest(
    part,
    `gpt: the loss falls alike with each attention, nothing is left: ${backend}`,
    async () => {
      await openBackend(backend);
      const steps = 20, want = await lossesOf("flash", tiny, steps);
      assert.ok(want.at(-1)! < 0.7 * want[0]!, `${want[0]} became ${want.at(-1)}`);
      assert.deepEqual(await lossesOf("flash", tiny, 5), want.slice(0, 5)); // bit for bit
      for (const name of NAMES.slice(1)) near(await lossesOf(name, tiny, steps), want, 2e-3);
      const again = { ...tiny, recompute: true };
      near(await lossesOf("flash", again, steps), want, 2e-3);
    },
  );
}

// along one random direction in each variable; the loss is rounded to 5e-7
Deno.test("gpt: gradients match finite differences, at once and by stages", async () => {
  await openBackend("wasm");
  const random = new Random(5), { tokens, targets }: Batch = randomBatch(text, 2, 24, random);
  const [read, next] = [tokens, targets].map((bytes) => tf.tensor1d(bytes, "int32"));
  for (const name of NAMES) {
    const { attend, dispose } = await createAttention(name, { causal: true, length: tiny.context });
    const model = new Gpt(tiny, random, attend);
    for (const variable of model.variables) { // far from the small weights of the beginning
      variable.assign(tf.tidy(() => {
        const moves = Float32Array.from({ length: variable.size }, () => random.normal(0.2));
        return tf.add(variable, tf.tensor(moves, variable.shape));
      }));
    }
    const both = [gradientsAtOnce, gradientsByStage].map((find) => find(model, read!, next!));
    for (const variable of model.variables) {
      const before = await variable.data() as Float32Array;
      const direction = before.map(() => random.normal(1));
      const step = 0.1 / Math.sqrt(before.length);
      const lossAt = (distance: number): number =>
        tf.tidy(() => {
          const moved = before.map((value, n) => value + distance * direction[n]!);
          variable.assign(tf.tensor(moved, variable.shape));
          return model.loss(read!, next!).dataSync()[0]!;
        });
      const change = (distance: number): number => lossAt(distance) - lossAt(-distance);
      const measured = (8 * change(step) - change(2 * step)) / (12 * step);
      lossAt(0);
      for (const { gradients } of both) {
        const gradient = await gradients[variable.name]!.data();
        const expected = direction.reduce((sum, d, n) => sum + d * gradient[n]!, 0);
        const bound = 0.01 * Math.abs(expected) + 1e-4;
        const label = `${name}, [${variable.shape}]: gradient ${expected}, measured ${measured}`;
        assert.ok(Math.abs(measured - expected) <= bound, label);
      }
    }
    for (const { loss, gradients } of both) tf.dispose([loss, ...Object.values(gradients)]);
    model.dispose();
    dispose();
  }
  tf.dispose([read!, next!]);
});

/** The most bytes that tensors had at once on the heap of the WASM backend. */
function peakOf(work: () => void): number {
  type Heap = { _malloc(bytes: number): number; _free(at: number): void };
  const { wasm } = tf.backend() as unknown as { wasm: Heap };
  wasm._free(wasm._malloc(1)); // the first call of each puts another function in its place
  const { _malloc, _free } = wasm;
  const sizes = new Map<number, number>();
  let live = 0, peak = 0;
  wasm._malloc = (bytes) => {
    const at = _malloc(bytes);
    sizes.set(at, bytes);
    live += bytes;
    peak = Math.max(peak, live);
    return at;
  };
  wasm._free = (at) => {
    live -= sizes.get(at) ?? 0;
    sizes.delete(at);
    _free(at);
  };
  try {
    work();
  } finally {
    Object.assign(wasm, { _malloc, _free });
  }
  return peak;
}

// 27 and 82; with copies for clones, and a stage in one piece, 64 and 108
Deno.test("gpt: a step by stages takes few tensors as large as its rows at once", async () => {
  await openBackend("wasm");
  const context = 1024, dim = 128, rows = 4 * context * dim;
  const long = new Uint8Array(2 * context).map((_, n) => text[n % text.length]!);
  const tensors = async (recompute: boolean): Promise<number> => {
    const learner = await Learner.create("flash", { ...tiny, context, dim, recompute });
    const pieces = randomBatch(long, 1, context, new Random(4));
    const peak = peakOf(() => void learner.step(pieces));
    learner.dispose();
    return peak / rows;
  };
  const byStages = await tensors(true), atOnce = await tensors(false);
  assert.ok(byStages < 30, `${byStages} tensors of the size of all rows`);
  assert.ok(atOnce < 90, `${atOnce} tensors of the size of all rows`);
});

Deno.test("gpt: clones share values, which live as long as one of them", async () => {
  await openBackend("wasm");
  const x = tf.tensor1d([1, 2, 3]), before = tf.memory().numDataBuffers, clone = x.clone();
  assert.equal(tf.memory().numDataBuffers, before);
  x.dispose();
  assert.deepEqual([...await clone.data()], [1, 2, 3]);
  clone.dispose();
  assert.equal(tf.memory().numDataBuffers, before - 1);
});

Deno.test("gpt: what is wrong with flags is said", () => {
  const refused = (message: RegExp, ...args: string[]) =>
    assert.throws(() => parseOptions(args), message);
  refused(/^RangeError: Cannot train on 2 files/, "a", "b");
  refused(/^RangeError: Cannot use --steps few: expected a whole number/, "--steps", "few");
  refused(/^RangeError: Cannot use --attention new: expected flash, mat/, "--attention", "new");
  refused(/^RangeError: Cannot use --backend webgl: expected wasm or cpu/, "--backend", "webgl");
  refused(/^RangeError: Cannot split --dim 30 over --heads 4/, "--dim", "30");
  refused(/^RangeError: Cannot --compare on --backend cpu/, "--compare", "--backend", "cpu");
  assert.equal(parseOptions(["--help"]), undefined);
  assert.deepEqual(parseOptions(["--attention", "both"])!.attention, ["flash", "materialised"]);
});

Deno.test("gpt: the default text is this project's pages, with Debian's licences where they are", async () => {
  const pages = await loadCorpus(undefined, 8, new URL("none/", import.meta.url));
  assert.match(pages.name, /^this project's own \d+ pages$/);
  const folder = new URL("./", import.meta.url), both = await loadCorpus(undefined, 8, folder);
  const sources = [...Deno.readDirSync(folder)].map(({ name }) =>
    Deno.statSync(new URL(name, folder)).size
  );
  assert.equal(both.name, `${pages.name} and ${sources.length} licences of Debian`);
  assert.equal(both.bytes.length, sources.reduce((sum, size) => sum + size, pages.bytes.length));
  assert.deepEqual(both.bytes.slice(-pages.bytes.length), pages.bytes);
  assert.match((await loadCorpus("README.md", 8, folder)).name, /^README\.md$/);
});

const gpt = (...args: string[]): string[] => [
  ...["run", "--no-check", "--no-prompt", "--allow-read", "examples/gpt/main.ts"],
  ...["--layers", "1", "--dim", "16", "--context", "32", ...args],
];

testProcess("gpt: curves on stdout, all else on stderr", [], async () => {
  const { code, stdout, stderr } = await run(gpt("--attention", "both", "--steps", "3"));
  assert.equal(code, 0, stderr);
  const [head, first, last, end] = stdout.split("\n");
  assert.equal(head, "  step  loss, flash  tokens/s  loss, materialised  tokens/s");
  const losses = [first, last].map((line) => line!.trim().split(/\s+/));
  assert.deepEqual([losses[0]![0], losses[1]![0], end], ["1", "3", ""]);
  assert.equal(losses[0]![1], losses[0]![3]);
  assert.match(stderr, /^memory {3}\d+ MiB of TensorFlow\.js, .* the whole process$/m);
  const wrong = await run(gpt("README.none"));
  assert.deepEqual([wrong.code, wrong.stdout], [1, ""]);
  assert.match(wrong.stderr, /^error: Cannot read README\.none: there is no such file\n$/);
});

testProcess("gpt: Ctrl-C ends the training early", [], async () => {
  const child = start(gpt("--steps", "100000", "--every", "1"));
  const said = new Response(child.stderr).text();
  let lines = "";
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
    if (lines.length < 60 && lines.length + piece.length >= 60) child.kill("SIGINT");
    lines += piece;
  }
  assert.equal((await child.status).code, 0);
  assert.match(await said, /\nStopped by Ctrl-C\.\nmemory/);
});

testProcess("gpt: --compare measures each attention", [], async () => {
  const { code, stdout, stderr } = await run(gpt("--compare"));
  assert.equal(code, 0, stderr);
  const rows = stdout.split("\n").filter((line) => line.startsWith("| 32 |"));
  const names = rows.map((row) => row.match(/^\| 32 \| ([a-z-]+) \| [\d,]+ \|/)?.[1]);
  assert.deepEqual(names, ["flash", "by-heads", "materialised"], stdout);
}, "rest");
