/** The logic of the panel that trains a model; no browser, no worker. */
import assert from "node:assert/strict";
import { recent, thinned } from "../../examples/page/panels/training/losses.ts";
import type { Answer } from "../../examples/page/panels/training/messages.ts";
import { Service } from "../../examples/page/panels/training/service.ts";
import type { NamedText } from "../../examples/page/panels/training/session.ts";

const shape = { layers: 1, heads: 2, kvHeads: 1, headDim: 8, dim: 16, context: 32 };
const words = "the cat sat on the mat, and the dog sat on the log.\n".repeat(30);
const text: NamedText = { name: "a text", bytes: new TextEncoder().encode(words) };

/** A service with the answers that it gave; resolves `next` with the next answer of a kind. */
function listen() {
  const answers: Answer[] = [];
  let heard = (): void => {};
  const service = new Service((answer) => {
    answers.push(answer);
    heard();
  });
  const next = async <K extends Answer["kind"]>(kind: K): Promise<Answer & { kind: K }> => {
    for (let at = answers.length;;) {
      for (; at < answers.length; at++) {
        if (answers[at]!.kind === kind) {
          return answers[at] as Answer & { kind: K };
        }
      }
      await new Promise<void>((resolve) => heard = resolve);
    }
  };
  return { service, answers, next };
}

Deno.test("page: a run learns, stops, writes, is saved, and goes on where it stopped", async () => {
  const { service, answers, next } = listen();
  try {
    await service.handle({ kind: "begin", text, shape });
    const begun = answers[0] as Answer & { kind: "begun" };
    assert.equal(begun.kind, "begun");
    assert.ok(begun.beginning.bigram < begun.beginning.unigram);
    assert.equal(begun.beginning.step, 0);
    assert.equal(begun.beginning.trainingBytes + begun.beginning.heldOutBytes, text.bytes.length);

    const running = service.handle({ kind: "run" });
    await next("progress");
    const sampled = next("sample");
    void service.handle({ kind: "sample", prompt: "the c", count: 12 }); // while it runs
    const sample = await sampled;
    assert.equal(sample.prompt, "the c");
    assert.ok(sample.text.length > 0);
    const learned = () => answers.flatMap((one) => one.kind === "progress" ? one.training : []);
    const fallen = () => recent(learned(), 10) < learned()[0]!.loss - 1.3;
    // steps, not time: a busy machine takes few of them between two reports
    while (!fallen() && learned().length < 3000) await next("progress");
    await service.handle({ kind: "stop" });
    await running;
    const progress = answers.filter((answer) => answer.kind === "progress");
    const training = progress.flatMap((answer) => answer.training);
    const stopped = answers.at(-1)!;
    assert.deepEqual(stopped, { kind: "stopped", step: training.length });
    assert.deepEqual(training.map(({ step }) => step), training.map((_, n) => n + 1));
    assert.ok(
      recent(training, 10) < training[0]!.loss - 1,
      `${recent(training, 10)}`,
    );
    assert.ok(progress.every(({ tokensPerSecond }) => tokensPerSecond > 0));
    assert.equal(progress.flatMap(({ heldOut }) => heldOut)[0]!.step, 1);

    await service.handle({ kind: "save" });
    const saved = answers.at(-1) as Answer & { kind: "saved" };
    assert.equal(saved.step, training.length);
    const file = { name: "my.model", bytes: saved.file };
    await service.handle({ kind: "begin", text, shape, file });
    const again = answers.at(-1) as Answer & { kind: "begun" };
    assert.equal(again.beginning.step, training.length);
    const more = service.handle({ kind: "run" });
    const first = await next("progress");
    assert.equal(first.training[0]!.step, training.length + 1);
    assert.ok(first.training[0]!.loss < training[0]!.loss - 0.5);
    await service.handle({ kind: "stop" });
    await more;
  } finally {
    await service.dispose();
  }
});

Deno.test("page: another model may begin while one learns, and learns from its own first step", async () => {
  const { service, answers, next } = listen();
  try {
    await service.handle({ kind: "begin", text, shape });
    const old = service.handle({ kind: "run" });
    await next("progress");
    void service.handle({ kind: "begin", text, shape: { ...shape, context: 16 } });
    await next("begun");
    await old;
    const before = answers.length;
    assert.deepEqual(answers.slice(-2).map(({ kind }) => kind), ["stopped", "begun"]);
    const own = service.handle({ kind: "run" });
    const { training } = await next("progress");
    assert.equal(training[0]!.step, 1);
    await service.handle({ kind: "stop" });
    await own;
    const kinds = new Set(answers.slice(before).map(({ kind }) => kind));
    assert.deepEqual([...kinds], ["progress", "stopped"]);
  } finally {
    await service.dispose();
  }
});

Deno.test("page: what cannot be trained says why, and what was there stays", async () => {
  const { service, answers } = listen();
  try {
    const failure = (request: string, message: RegExp): void => {
      const answer = answers.at(-1) as Answer & { kind: "failed" };
      assert.equal(answer.kind, "failed");
      assert.equal(answer.request, request);
      assert.match(answer.message, message);
    };
    await service.handle({ kind: "run" });
    failure("run", /Cannot go on: there is no model yet/);
    const short: NamedText = { name: "short.txt", bytes: text.bytes.subarray(0, 100) };
    await service.handle({ kind: "begin", text: short, shape });
    failure("begin", /Cannot train on short\.txt: it holds 100 bytes/);
    await service.handle({ kind: "begin", text, shape });
    await service.handle({
      kind: "begin",
      text,
      shape,
      file: { name: "a.txt", bytes: text.bytes },
    });
    failure("begin", /Cannot read a\.txt: it is not a model that was saved here/);
    await service.handle({ kind: "save" });
    assert.equal(answers.at(-1)!.kind, "saved");
  } finally {
    await service.dispose();
  }
});

Deno.test("page: a chart of many steps has a few hundred points, none of which is lost", () => {
  const points = Array.from({ length: 1234 }, (_, n) => ({ step: n + 1, loss: n % 2 }));
  const few = thinned(points, 100);
  assert.ok(few.length <= 100 && few.at(-1)!.step === 1234);
  assert.ok(few.every(({ loss }) => Math.abs(loss - 0.5) < 0.1));
  assert.deepEqual(thinned(points.slice(0, 50), 100), points.slice(0, 50));
  assert.equal(recent(points, 2), 0.5);
});
