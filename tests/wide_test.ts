/**
 * Work cut for operations of 256 bits: two panels at once, chosen by a look at the clock. Same bits as one panel at a
 * time, whatever the engine makes of it.
 */

import assert from "node:assert/strict";
import { createEngine } from "../mod.ts";
import { LoopProbe } from "../src/wasm/run/loop_probe.ts";
import { hostSession } from "./backends.ts";
import { type Case, caseName } from "./case.ts";
import { gridOfSets } from "./grid.ts";
import { makeInputs } from "./inputs.ts";
import { assertSameBits } from "./same_bits.ts";
import { isInCore, isLong, partTest } from "./selection.ts";

for (const part of ["core", "rest"] as const) {
  const title = "two panels at once give the bits of one, forward and backward, on the grid";
  partTest(part, `${title}: ${part}`, () => compare(part));
}

/** The core has a third of the cases of each section. */
async function compare(part: "core" | "rest"): Promise<void> {
  await using one = hostSession(
    await createEngine({ backend: "wasm", threads: 1, simd: "relaxed" }),
  );
  await using two = hostSession(await createEngine({ backend: "wasm", threads: 1, simd: "wide" }));
  const inCore = (c: Case, n: number) => n % 3 === 0 && isInCore(c);
  const taken = (c: Case, n: number) => inCore(c, n) === (part === "core") && !isLong(c);
  for (const c of gridOfSets.flatMap(({ cases }) => cases.filter(taken))) {
    const inputs = makeInputs(c), want = await one.forward(inputs);
    assertSameBits(await two.forward(inputs), want, caseName(c));
    assertSameBits(await two.backward(inputs, want), await one.backward(inputs, want), caseName(c));
  }
}

partTest("core", "an engine says how wide its operations are", async () => {
  using wide = await createEngine({ backend: "wasm", threads: 1, simd: "wide" });
  assert(wide.target.backend === "wasm");
  assert.equal(wide.target.vectorBits, 256);
  assert.match(wide.reason, /relaxed SIMD of 256 bits, 1 thread/);
  using plain = await createEngine({ backend: "wasm", threads: 1, simd: "plain" });
  assert(plain.target.backend === "wasm");
  assert.equal(plain.target.vectorBits, 128);
  assert.doesNotMatch(plain.reason, /256/);
});

/** An engine of which only the clock is seen; times are milliseconds of a thousand turns. */
class Engine {
  now = 0;
  turns = 0;
  constructor(
    readonly optimisedFrom: number,
    readonly packs: boolean,
    readonly step: number,
    readonly noise: () => number = () => 1,
  ) {}

  clock = () => {
    this.now += 0.0001;
    return this.step ? Math.floor(this.now / this.step) * this.step : this.now;
  };

  #run(turns: number, packed: boolean): void {
    this.turns += turns;
    const optimised = this.turns >= this.optimisedFrom;
    const ms = optimised ? (packed && this.packs ? 0.0015 : 0.003) : 0.009;
    this.now += turns / 1000 * ms * this.noise();
  }

  readonly loops = {
    asked: (turns: number) => this.#run(turns, true),
    beside: (turns: number) => this.#run(turns, false),
  };
}

/** Calls come every few milliseconds, for five seconds. */
function lookOn(engine: Engine, every: number): LoopProbe {
  const probe = new LoopProbe(engine.loops, 0.7, undefined, engine.clock);
  while (engine.now < 5000) {
    probe.look();
    engine.now += every;
  }
  return probe;
}

partTest(
  "core",
  "the look at the clock decides right, early code or late, fine clock or coarse",
  () => {
    for (const step of [0, 0.005, 0.1]) {
      for (const optimisedFrom of [0, 6000, 20_000]) {
        for (const every of [0.3, 5, 60]) {
          for (const packs of [true, false]) {
            const probe = lookOn(new Engine(optimisedFrom, packs, step), every);
            const about = JSON.stringify({ step, optimisedFrom, every, packs });
            assert.equal(probe.yes, packs, about);
            // a coarse clock needs slices of half a millisecond
            assert(probe.spent <= (step < 0.1 ? 3 : 5), `${probe.spent} ms, ${about}`);
          }
        }
      }
    }
  },
);

partTest(
  "core",
  "the look at the clock is not misled by a neighbour who takes the processor",
  () => {
    let seed = 1;
    const random = () => (seed = Math.imul(seed, 1103515245) + 12345 & 0x7fffffff) / 2 ** 31;
    for (let n = 0; n < 200; n++) {
      const packs = n % 2 === 0, noise = () => random() < 0.1 ? 1 + 5 * random() : 1;
      assert.equal(lookOn(new Engine(6000, packs, 0, noise), 3).yes, packs, `run ${n}`);
    }
  },
);

partTest(
  "core",
  "the same look tells a dot product that is one instruction from one that is several",
  () => {
    for (const times of [1, 2]) {
      const engine = new Engine(6000, false, 0), { beside } = engine.loops;
      const loops = { asked: (turns: number) => beside(times * turns), beside };
      const probe = new LoopProbe(loops, 1.3, undefined, engine.clock);
      for (; engine.now < 5000; engine.now += 5) probe.look();
      assert.equal(probe.yes, times === 1);
      assert(probe.spent <= 5, `${probe.spent} ms`);
    }
  },
);

partTest("core", "the look at the clock tells how fast the processor is, once and for all", () => {
  for (const step of [0, 0.005]) {
    const engine = new Engine(6000, true, step);
    const probe = new LoopProbe(engine.loops, 0.7, undefined, engine.clock);
    const seen = new Set<number | undefined>();
    for (; engine.now < 5000; engine.now += 5) {
      probe.look();
      seen.add(probe.speed);
    }
    assert.equal(seen.size, 2); // nothing, and then one answer
    const turns = 1 / 0.003 * 1000; // of a millisecond
    assert(Math.abs(probe.speed! / turns - 1) < (step ? 0.25 : 0.05), `${probe.speed}`);
  }
  const never = new LoopProbe(new Engine(0, true, 0).loops, 0.7, false);
  never.look();
  assert.equal(never.speed, undefined);
});

partTest("core", "a clock that stands still decides for what is always right", () => {
  const engine = new Engine(0, true, 1e9), probe = lookOn(engine, 100);
  assert.equal(probe.yes, false);
  assert.equal(probe.speed, undefined);
});
