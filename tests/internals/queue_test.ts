/** The order of asynchronous calls: short ones pass long ones, in their order, and nothing else changes. */

import assert from "node:assert/strict";
import { createEngine, type Engine, type HostTensor } from "../../mod.ts";
import { CallQueue, Failed, type Progress } from "../../src/wasm/run/queue.ts";
import { plainTensor } from "../inputs.ts";

const nothing = () => {};
const turn = () => new Promise<void>((resolve) => setTimeout(resolve));
const refusal = () => new Error("closed");

/** A call of `steps` slices, each long enough for the event loop to turn after it. */
function slices(steps: number, log: string[], name: string): () => Progress<string> {
  return function* () {
    log.push(`${name} begins`);
    for (let n = 0; n < steps; n++) yield "threads";
    log.push(`${name} ends`);
    return name;
  };
}

Deno.test("long calls run one after the other, short ones pass, in their order", async () => {
  const log: string[] = [], queue = new CallQueue(nothing, turn);
  const long = (name: string) => queue.run({ begin: slices(3, log, name), refusal });
  const short = (name: string) => {
    const begin = slices(1, log, name);
    return queue.run({ begin, beginAlone: begin, refusal });
  };
  assert.deepEqual(
    await Promise.all([long("first"), long("second"), short("a"), short("b")]),
    ["first", "second", "a", "b"],
  );
  const of = (name: string) => [`${name} begins`, `${name} ends`];
  assert.deepEqual(log, [
    "first begins",
    ...of("a"),
    ...of("b"),
    "first ends",
    ...of("second"),
  ]);
});

Deno.test("a long call goes on between short ones that keep coming", async () => {
  const queue = new CallQueue(nothing, turn);
  let slice = 0, ended = false;
  const long = queue.run({
    *begin(): Progress<void> {
      for (; slice < 5; slice++) yield "threads";
    },
    refusal,
  });
  long.then(() => ended = true);
  const seen: number[] = [];
  const begin = function* (): Progress<void> {
    yield "threads";
    seen.push(slice);
  };
  for (let n = 0; n < 50 && !ended; n++) await queue.run({ begin, beginAlone: begin, refusal });
  assert.ok(ended, "it ended although short calls never stopped coming");
  assert.ok(new Set(seen).size > 2, `short calls ran at several of its pauses: ${seen}`);
});

Deno.test("a short call for which memory is too small keeps its place and is tried once", async () => {
  const log: string[] = [], queue = new CallQueue(nothing, turn);
  let tried = 0;
  const beginAlone = () => {
    tried++;
    throw new RangeError("Cannot allocate");
  };
  await Promise.all([
    queue.run({ begin: slices(5, log, "long"), refusal }),
    queue.run({ begin: slices(1, log, "short"), beginAlone, refusal }),
  ]);
  assert.equal(tried, 1);
  assert.deepEqual(log, ["long begins", "long ends", "short begins", "short ends"]);
});

Deno.test("a call that failed rejects at once; the next begins when nothing of it is left", async () => {
  const log: string[] = [], queue = new CallQueue(nothing, turn);
  const failing = queue.run({
    *begin(): Progress<void> {
      yield "work";
      const error = new Error("aborted");
      yield new Failed(error);
      for (let n = 0; n < 5; n++) yield "threads";
      log.push("left");
      throw error;
    },
    refusal,
  });
  const next = queue.run({ begin: slices(1, log, "next"), refusal });
  await assert.rejects(failing, /aborted/);
  assert.deepEqual(log, []);
  await queue.idle();
  await next;
  assert.deepEqual(log, ["left", "next begins", "next ends"]);
});

Deno.test("closing ends the call under way at its next pause and refuses all others", async () => {
  const log: string[] = [];
  let released = 0;
  const queue = new CallQueue(() => released++, turn);
  const begin = slices(1000, log, "short");
  const calls = [
    queue.run({ begin: slices(1000, log, "long"), refusal }),
    queue.run({ begin, beginAlone: begin, refusal }),
    queue.run({ begin: slices(1, log, "waiting"), refusal }),
  ];
  const ends = Promise.all(calls.map((call) => assert.rejects(call, /closed/)));
  await turn();
  await turn();
  assert.equal(released, 0, "what calls need is there while one runs");
  queue.close();
  await ends;
  await queue.idle();
  assert.equal(released, 1);
  assert.ok(!log.some((line) => line.endsWith("ends") || line.startsWith("waiting")), `${log}`);
});

Deno.test("a call that is ended may take its time to put away what it has", async () => {
  const log: string[] = [], queue = new CallQueue(() => log.push("released"), turn);
  const call = queue.run({
    *begin(): Progress<void> {
      try {
        for (;;) yield "threads";
      } finally {
        for (let n = 0; n < 3; n++) {
          yield "threads"; // until threads have left its memory
          log.push(`left ${n}`);
        }
      }
    },
    refusal,
  });
  const ends = assert.rejects(call, /closed/);
  await turn();
  queue.close();
  await ends;
  await queue.idle();
  await turn();
  assert.deepEqual(log, ["left 0", "left 1", "left 2", "released"]);
});

async function watched(engine: Engine, q: HostTensor, k: HostTensor, log: string[], name: string) {
  const result = await engine.attention(q, k, k);
  log.push(name);
  return result;
}

Deno.test({
  name: "steps of one token pass a long call, and all give the bits that they give alone",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    for (const threads of [1, 2]) {
      using engine = await createEngine({ backend: "wasm", threads });
      const long = plainTensor(1, [1, 4000, 4, 64]);
      const q = plainTensor(2, [1, 1, 8, 64]), k = plainTensor(3, [1, 3000, 2, 64]);
      const want = await engine.attention(q, k, k),
        wantLong = await engine.attention(long, long, long);
      const log: string[] = [];
      const [first, second, a, b] = await Promise.all([
        watched(engine, long, long, log, "first"),
        watched(engine, long, long, log, "second"),
        watched(engine, q, k, log, "a"),
        watched(engine, q, k, log, "b"),
      ]);
      assert.deepEqual(log, ["a", "b", "first", "second"], `${threads} threads`);
      for (const got of [a, b]) assert.deepEqual(got.out.data, want.out.data);
      for (const got of [first, second]) assert.deepEqual(got.out.data, wantLong.out.data);
    }
  },
});
