/** Same inputs, same engine options: the same bits, whatever else runs. */

import {
  type Configuration,
  engineConfigurations,
  type ForwardResult,
  openAll,
  type Session,
  syncConfiguration,
} from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { type Inputs, makeInputs } from "./inputs.ts";
import { assertSameBits } from "./same_bits.ts";
import { everything, partTaken, runTakes } from "./selection.ts";
import { sharedSessions } from "./sessions.ts";

/** Of threads that race. */
const repeats = runTakes("rest") ? 50 : 4;
/** Without threads that race; on a GPU each takes longer in software, and tests/webgpu/repeat_test.ts has more. */
const fewRepeats = 3;

/** Work cut up in different ways: whole heads, splits over keys, splits of few query rows, features, formats. */
const cases: readonly Case[] = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 150, lengthK: 201, headDim: 21, causal: true }),
  defineCase({ queryHeads: 1, lengthQ: 300, headDim: 64 }),
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 2, lengthK: 2000, headDim: 20 }),
  defineCase({
    ...{ batch: 2, queryHeads: 2, kvHeads: 1, lengthQ: 67, lengthK: 130, headDim: 20 },
    ...{ ...everything, window: { left: 60 } },
  }),
  defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 90, headDim: 32, dtype: "bf16", dLse: true }),
  defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 70, lengthK: 800, sink: true, ...everything }),
];

/** On a GPU the core has small ones, with kernels that many tests have. */
const ofGpuCore: readonly Case[] = [cases[2]!, cases[3]!];

const made = new Map<Case, Inputs>();
const inputsOf = (c: Case): Inputs => made.get(c) ?? made.set(c, makeInputs(c)).get(c)!;

/** Whether this run has a case there. */
const takes = (configuration: string, c: Case) =>
  configuration !== "webgpu" || partTaken(ofGpuCore.includes(c) ? "core" : "rest");

/** Runs `body` on each configuration, for each case. */
function testCases(
  name: string,
  configurations: readonly Configuration[],
  body: (session: Session, inputs: Inputs, about: string) => Promise<void>,
): void {
  const open = sharedSessions(configurations.filter(({ part = "core" }) => runTakes(part)));
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn(t) {
      const sessions = await open();
      for (const c of cases) {
        await t.step(caseName(c), async () => {
          for (const [configuration, session] of sessions) {
            if (takes(configuration, c)) await body(session, inputsOf(c), configuration);
          }
        });
      }
    },
  });
}

testCases(
  `${repeats} repeats give the same bits, forward and backward`,
  [...engineConfigurations, syncConfiguration],
  async (session, inputs, about) => {
    const forward = await session.forward(inputs);
    const backward = await session.backward(inputs, forward);
    const times = /[2-9] threads, relaxed/.test(about) ? repeats : fewRepeats;
    for (let repeat = 1; repeat < times; repeat++) {
      assertSameBits(await session.forward(inputs), forward, `repeat ${repeat}, ${about}`);
      const again = await session.backward(inputs, forward);
      assertSameBits(again, backward, `repeat ${repeat}, ${about}`);
    }
  },
);

testCases(
  "concurrent calls on one engine give the bits of calls one after another",
  engineConfigurations,
  async (session, inputs, about) => {
    const few = about === "webgpu" && !runTakes("rest");
    const others = few ? ofGpuCore.map(inputsOf) : cases.map(inputsOf);
    const alone: ForwardResult[] = [];
    for (const other of others) alone.push(await session.forward(other));
    const forward = await session.forward(inputs);
    const backward = await session.backward(inputs, forward);

    const [backwards, forwards] = await Promise.all([
      Promise.all([1, 2, 3].map(() => session.backward(inputs, forward))),
      Promise.all(others.map((other) => session.forward(other))),
    ]);
    for (const result of backwards) assertSameBits(result, backward, `backward, ${about}`);
    forwards.forEach((result, n) =>
      assertSameBits(result, alone[n]!, `forward of ${others[n]!.name}, ${about}`)
    );
  },
);

for (const configuration of engineConfigurations.slice(-3)) {
  testCases(
    `a new engine gives the bits of an old one that has done other work: ${configuration.name}`,
    [configuration],
    async (session, inputs, about) => {
      const forward = await session.forward(inputs);
      const backward = await session.backward(inputs, forward);
      await using fresh = await openAll([configuration]);
      for (const other of fresh.sessions.values()) {
        assertSameBits(await other.forward(inputs), forward, about);
        assertSameBits(await other.backward(inputs, forward), backward, about);
      }
    },
  );
}
