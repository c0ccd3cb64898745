import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { Random } from "../byte_lm/random.ts";
import { run, start, testProcess } from "../llama/testing/process.ts";
import type { AttentionName } from "../transformer/attention.ts";
import { partTest } from "../../tests/selection.ts";
import { type BackendName, openBackend } from "../transformer/backend.ts";
import { cutPatches, type Digits, SIDE } from "./digits.ts";
import { Learner, type LearnerOptions } from "./learner.ts";
import { parseOptions } from "./options.ts";
import { shareOfRate, train } from "./train.ts";

const tiny: LearnerOptions = {
  ...{ layers: 1, heads: 2, dim: 16, patch: 14 },
  ...{ rate: 0.02, seed: 3 },
};

/** Pictures of a bright bar each, whose row says which digit it is. */
function bars(count: number): Digits {
  const random = new Random(5), pictures = new Float32Array(count * SIDE * SIDE);
  const labels = Uint8Array.from({ length: count }, () => random.below(3));
  labels.forEach((label, n) => {
    const first = n * SIDE * SIDE + (4 + 8 * label) * SIDE;
    pictures.fill(1, first, first + 4 * SIDE);
  });
  return { pictures, labels };
}

/** Losses of some steps and what is learned, and that no tensors are left behind. */
async function course(name: AttentionName, steps: number) {
  const before = tf.memory().numTensors, digits = bars(60);
  const learner = await Learner.create(name, tiny), stop = new AbortController().signal;
  let flat = 0;
  const schedule = { patch: 14, batch: 10, steps, seconds: 60, seed: 1 };
  const [done] = await train([learner], digits, schedule, stop, (courses) => {
    if (courses[0]!.losses.length === 2) flat = tf.memory().numTensors;
  });
  assert.equal(tf.memory().numTensors, flat, "a step leaves tensors behind");
  const accuracy = learner.accuracy(digits);
  learner.dispose();
  assert.equal(tf.memory().numTensors, before, "a model leaves tensors behind");
  return { losses: done!.losses, accuracy };
}

for (const backend of ["wasm", "cpu"] as const satisfies BackendName[]) {
  const part = backend === "cpu" ? "rest" : "core";
  partTest(
    part,
    `vit: it learns alike with each attention, nothing is left: ${backend}`,
    async () => {
      await openBackend(backend);
      const want = await course("flash", 16);
      assert.ok(want.accuracy > 0.9, `accuracy ${want.accuracy}, losses ${want.losses}`);
      assert.deepEqual(await course("flash", 16), want); // bit for bit
      for (const name of ["materialised", "by-heads"] as const) {
        const { losses, accuracy } = await course(name, 16);
        assert.equal(accuracy, want.accuracy);
        losses.forEach((loss, n) => {
          assert.ok(
            Math.abs(loss - want.losses[n]!) <= 2e-3,
            `${loss}, expected ${want.losses[n]}`,
          );
        });
      }
    },
  );
}

Deno.test("vit: pictures are cut into patches row by row, and moved by a pixel", () => {
  const pictures = new Float32Array(2 * SIDE * SIDE), labels = Uint8Array.of(4, 7);
  const at = (picture: number, x: number, y: number) => (picture * SIDE + y) * SIDE + x;
  pictures[at(0, 0, 0)] = 1;
  pictures[at(1, 9, 15)] = 2; // of patches of 7: the second across and the third down, at 2 and 1
  const cut = cutPatches({ pictures, labels }, [1, 0, 1], 7);
  assert.deepEqual([...cut.labels], [7, 4, 7]);
  const lit = (patches: Float32Array) =>
    [...patches.entries()].filter(([, value]) => value > 0).map(([n]) => n);
  const second = (2 * 4 + 1) * 49 + 1 * 7 + 2, size = SIDE * SIDE;
  assert.deepEqual(lit(cut.patches), [second, size, 2 * size + second]);

  const places = new Set<number>(), random = new Random(1);
  for (let n = 0; n < 100; n++) {
    for (const pixel of lit(cutPatches({ pictures, labels }, [1], 28, random).patches)) {
      places.add(pixel);
    }
  }
  const around = [-1, 0, 1];
  const wanted = around.flatMap((down) => around.map((right) => at(0, 9 + right, 15 + down)));
  assert.deepEqual([...places].toSorted((a, b) => a - b), wanted);
});

Deno.test("vit: the learning rate rises, and falls to nothing", () => {
  const shares = Array.from({ length: 101 }, (_, step) => shareOfRate(step, 100));
  assert.ok(shares.every((share) => share >= 0 && share <= 1));
  assert.ok(shares[0]! > 0 && shares[0]! < 0.1 && shares[10] === 1 && shares[100]! < 1e-9);
  shares.slice(11).forEach((share, n) => assert.ok(share < shares[10 + n]!));
});

Deno.test("vit: what is wrong with flags is said", () => {
  const refused = (message: RegExp, ...args: string[]) =>
    assert.throws(() => parseOptions(args), message);
  refused(/^RangeError: Cannot use --steps few: expected a whole number/, "--steps", "few");
  refused(/^RangeError: Cannot use --attention new: expected flash, mat/, "--attention", "new");
  refused(/^RangeError: Cannot split --dim 30 over --heads 4/, "--dim", "30");
  refused(/^RangeError: Cannot cut --patch 5: expected a divisor of 28/, "--patch", "5");
  assert.equal(parseOptions(["--help"]), undefined);
  assert.deepEqual(parseOptions(["--attention", "both"])!.attention, ["flash", "materialised"]);
});

const vit = (...args: string[]): string[] => [
  ...["run", "--no-check", "--no-prompt", "--allow-read", "examples/vit/main.ts"],
  ...["--layers", "1", "--dim", "16", "--patch", "14", ...args],
];

testProcess("vit: curves and accuracies on stdout, all else on stderr", [], async () => {
  const { code, stdout, stderr } = await run(vit("--attention", "both", "--steps", "12"));
  assert.equal(code, 0, stderr);
  const [head, first, last, flash, materialised, end] = stdout.split("\n");
  assert.equal(head, "  step  loss, flash  pictures/s  loss, materialised  pictures/s");
  const losses = [first, last].map((line) => line!.trim().split(/\s+/));
  assert.deepEqual([losses[0]![0], losses[1]![0], end], ["1", "12", ""]);
  assert.equal(losses[0]![1], losses[0]![3]);
  assert.match(flash!, /^accuracy on 2,000 digits, flash: \d+\.\d\d %$/);
  assert.equal(materialised, flash!.replace("flash", "materialised"));
  assert.match(stderr, /^digits {3}8,000 to learn from.* 2,000 to be tested on$/m);
  assert.match(stderr, /^memory {3}\d+ MiB of TensorFlow\.js, .* the whole process$/m);
});

testProcess("vit: Ctrl-C ends the training early, and what was learned is tested", [], async () => {
  const child = start(vit("--steps", "100000", "--every", "1"));
  const said = new Response(child.stderr).text();
  let lines = "";
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
    if (lines.length < 60 && lines.length + piece.length >= 60) child.kill("SIGINT");
    lines += piece;
  }
  assert.equal((await child.status).code, 0);
  assert.match(lines, /\naccuracy on 2,000 digits/);
  assert.match(await said, /\nStopped by Ctrl-C\.\nmemory/);
});
