/** checkGradients: what is right passes, and each planted fault is found and named. */

import assert from "node:assert/strict";
import {
  attention,
  attentionBackward,
  type AttentionOptions,
  createEngine,
  type Tensor,
} from "../mod.ts";
import {
  type CheckedBackward,
  type CheckedForward,
  type CheckedOption,
  type CheckedTensor,
  checkGradients,
  type CheckOptions,
  type Diagnosis,
  type Finding,
  GradientCheckError,
  type GradientReport,
} from "../src/check.ts";
import {
  backward,
  type Forward,
  forward,
  lseWithoutMax,
  mapped,
  nanRows,
  shifted,
  spoilt,
  transposedHeads,
  withoutBatchSum,
  withoutGroupSum,
} from "./check_faults.ts";
import { decode, encode } from "./half.ts";
import { partTest } from "./selection.ts";
import { mapTuple } from "./tuples.ts";

const everything: readonly CheckedOption[] = [
  ...["causal", "causalTopLeft", "window", "softmaxScale", "softcap", "alibiSlopes"] as const,
  ...["bias", "mask", "keyLengths", "sink", "dLse", "largeScores"] as const,
];
/** Small and few: most faults show in any problem. */
const small: CheckOptions = {
  sizes: { lengthQ: [3, 9], lengthK: [5, 12], headDim: [5, 8] },
  problems: 10,
};

for (const [seed, part] of [[1, "core"], [2, "rest"]] as const) {
  partTest(
    part,
    `the library's own attention passes, with every option: seed ${seed}`,
    async () => {
      const report = await checkGradients(forward, backward, { options: everything, seed });
      assert.ok(report.passed, report.text);
      assert.deepEqual(report.findings, []);
      assert.match(report.text, /^56 problems, all right: errors are at most 0\.\d+ of what is/);
      assert.equal(`${report}`, report.text);
      const names = new Set(report.problems.flatMap(({ results }) => results.map((r) => r.name)));
      const all = ["out", "lse", "dq", "dk", "dv", "dAlibiSlopes", "dBias", "dSink"];
      assert.deepEqual([...names].sort(), all.sort());
      // finite differences were asked, and told something
      const differences = report.problems.flatMap(({ results }) => results)
        .flatMap(({ differences }) => differences ?? []);
      assert.ok(differences.length > 100);
      const tight = differences.filter(({ byForward, allowed }) =>
        Math.abs(byForward) > 20 * allowed
      );
      assert.ok(tight.length > 20, `${tight.length} of ${differences.length} say something`);
    },
  );
}

partTest("core", "asynchronous functions, and the other layout", async () => {
  const report = await checkGradients(
    (q, k, v, options) => attention(q, k, v, options as AttentionOptions),
    (dOut, saved, options) => attentionBackward(dOut, saved, options as AttentionOptions),
    { ...small, layout: "bhsd", options: ["causal", "bias", "sink"] },
  );
  assert.ok(report.passed, report.text);
});

partTest("core", "resident tensors are read", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const near = ({ data, shape }: CheckedTensor): Tensor => engine.tensor(data, [...shape], "f32");
  const report = await checkGradients(
    (q, k, v, options) =>
      engine.attention(...mapTuple([q, k, v], near), options as AttentionOptions),
    (dOut, { q: hostQ, k: hostK, v: hostV, out, lse }, options) => {
      const [d, q, k, v] = mapTuple([dOut, hostQ, hostK, hostV], near);
      return engine.attentionBackward(d, { q, k, v, out, lse }, options as AttentionOptions);
    },
    { ...small, options: ["causal"], problems: 5 },
  );
  assert.ok(report.passed, report.text);
});

partTest("core", "an attention that stores 16 bits", async () => {
  for (const storage of ["f16", "bf16"] as const) {
    const stored = ({ data, shape }: CheckedTensor): CheckedTensor => ({
      data: Float32Array.from(decode(encode(Float64Array.from(data), storage), storage)),
      shape,
    });
    const options = { ...small, storage, options: ["causal", "bias", "largeScores"] } as const;
    const report = await checkGradients(
      (q, k, v, options) => {
        assert.deepEqual([q, k, v], [q, k, v].map(stored), "inputs are 16-bit numbers already");
        const { out, lse } = forward(q, k, v, options) as Forward;
        return { out: stored(out), lse };
      },
      spoilt(({ dq, dk, dv, dBias }) => ({
        ...{ dq: stored(dq), dk: stored(dk), dv: stored(dv) },
        dBias: dBias && stored(dBias),
      })),
      options,
    );
    assert.ok(report.passed, report.text);
    const strict = await checkGradients(forward, spoilt(({ dq }) => ({ dq: stored(dq) })), small);
    assert.equal(strict.passed, false, "float32 is not as coarse");
    assert.equal(only(strict, "dq").diagnosis.kind, "precision");
  }
});

/** The one finding, which must be about `results`. */
function only(report: GradientReport, ...results: string[]): Finding {
  assert.equal(report.passed, false);
  assert.deepEqual(report.findings.map((finding) => finding.results), [results], report.text);
  return report.findings[0]!;
}

interface Planted {
  readonly forward?: CheckedForward<Forward>;
  readonly backward?: CheckedBackward<Forward>;
  readonly options?: CheckOptions;
  readonly results: readonly string[];
  readonly diagnosis: Partial<Diagnosis> & { readonly text?: string };
  readonly when?: RegExp;
  readonly fitsForward?: boolean;
}

const scaled = (factor: (headDim: number) => number, ...names: ("dq" | "dk" | "dv")[]) =>
  spoilt((gradients, { q }) =>
    Object.fromEntries(
      names.map((name) => [name, mapped(gradients[name], (x) => x * factor(q.shape[3]!))]),
    )
  );

const planted: Readonly<Record<string, Planted>> = {
  "dq and dk √headDim too large, as in @genai-fi/nanogpt 1.3.0": {
    backward: scaled(Math.sqrt, "dq", "dk"),
    options: { options: ["causal", "softmaxScale"] },
    results: ["dq", "dk"],
    diagnosis: { kind: "factor", expressions: ["√headDim"] },
    fitsForward: false,
  },
  "dk without the scale": {
    backward: spoilt(({ dk }, { q }, { softmaxScale = 1 / Math.sqrt(q.shape[3]!) }) => ({
      dk: mapped(dk, (x) => x / softmaxScale),
    })),
    options: { options: ["softmaxScale"], problems: 12 },
    results: ["dk"],
    diagnosis: { kind: "factor", expressions: ["1 / softmaxScale"] },
  },
  "dv twice": {
    backward: scaled(() => 2, "dv"),
    options: { sizes: { headDim: [5], lengthQ: [3], lengthK: [7], batch: [1], groups: [1] } },
    results: ["dv"],
    diagnosis: { kind: "factor", expressions: ["2"], factor: 2 },
    when: /^in every problem/,
  },
  "a sign": {
    backward: scaled(() => -1, "dk"),
    results: ["dk"],
    diagnosis: { kind: "sign", text: "of the wrong sign" },
  },
  "zero where dBias should be": {
    backward: spoilt(({ dBias }) => ({ dBias: dBias && mapped(dBias, () => 0) })),
    options: { options: ["bias"] },
    results: ["dBias"],
    diagnosis: { kind: "zero" },
  },
  "no dSink": {
    backward: spoilt(() => ({ dSink: undefined })),
    options: { options: ["sink"] },
    results: ["dSink"],
    diagnosis: { kind: "missing", text: "missing" },
    when: /^in every problem/,
  },
  "dBias not summed over the batch": {
    backward: withoutBatchSum,
    options: { options: ["bias"], problems: 14 },
    results: ["dBias"],
    diagnosis: { kind: "fault", text: "as if only the last batch element were in the sum" },
    when: /batch above 1/,
  },
  "the sum over a group is missing": {
    backward: withoutGroupSum,
    results: ["dk", "dv"],
    diagnosis: {
      kind: "fault",
      text: "as if only the first query head of each group were in the sum",
    },
    when: /^with grouped heads, and only then/,
  },
  "causal off by one, in both passes": {
    forward: (q, k, v, options) =>
      forward(q, k, v, shifted(options, q.shape[1]!, k.shape[1]!)) as Forward,
    backward: (dOut, saved, options) =>
      backward(dOut, saved, shifted(options, saved.q.shape[1]!, saved.k.shape[1]!)),
    results: ["out", "lse", "dq", "dk", "dv"],
    diagnosis: { kind: "fault", text: "as if the diagonal of causal lay one key further right" },
    when: /causal/,
    fitsForward: true,
  },
  "causal forgotten in the backward pass": {
    backward: (dOut, saved, { causal: _, ...options }) => backward(dOut, saved, options),
    results: ["dq", "dk", "dv"],
    diagnosis: {
      kind: "fault",
      text: "as if causal were not there, in the backward function alone",
    },
    fitsForward: false,
  },
  "lse to base 2": {
    forward: (q, k, v, options) => {
      const { out, lse } = forward(q, k, v, options) as Forward;
      return { out, lse: mapped(lse, (x) => x / Math.LN2) };
    },
    backward: (dOut, saved, options) =>
      backward(dOut, { ...saved, lse: mapped(saved.lse, (x) => x * Math.LN2) }, options),
    results: ["lse"],
    diagnosis: { kind: "factor", expressions: ["1 / ln 2"] },
  },
  "dv with heads before keys": {
    backward: transposedHeads,
    results: ["dv"],
    diagnosis: {
      kind: "order",
      text: "transposed: it lies as [batch, head, key, dim], [batch, key, head, dim] was wanted",
    },
    when: /several kv heads/,
  },
  "NaN in rows without keys": {
    forward: nanRows,
    backward: (dOut, saved, options) =>
      backward(dOut, { ...saved, out: mapped(saved.out, (x) => Number.isNaN(x) ? 0 : x) }, options),
    options: { options: ["keyLengths", "mask", "causal"], problems: 24 },
    results: ["out"],
    diagnosis: { kind: "empty rows", text: "NaN in rows that see no key, where 0 is wanted" },
    when: /^with queries that see no key, and only then/,
  },
  "a forward pass that fails with groups": {
    forward: (q, k, v, options) => {
      if (q.shape[2] !== k.shape[2]) throw new Error("no groups here");
      return forward(q, k, v, options) as Forward;
    },
    results: ["out", "lse", "dq", "dk", "dv"],
    diagnosis: {
      kind: "threw",
      text: "not there: the forward function threw Error: no groups here",
    },
    when: /^with grouped heads, and only then/,
  },
  "softcap's derivative forgotten": {
    // a shape of its own: dq and dk of the same loss with a slope of 1 come of ds alone
    backward: spoilt((_, saved, options, dOut) => withoutSlope(saved, options, dOut)),
    options: { options: ["softcap"], sizes: { groups: [1] } },
    results: ["dq", "dk"],
    diagnosis: { kind: "fault", text: "as if the derivative of softcap were 1" },
    when: /^with softcap, and only then/,
  },
  "an input that is written to": {
    forward: (q, k, v, options) => {
      const result = forward(q, k, v, options) as Forward;
      q.data.fill(0);
      return result;
    },
    results: ["q"],
    diagnosis: { kind: "written" },
  },
};

/** dq and dk from dS, which is the gradient of a bias of all pairs, with no derivative of softcap. */
function withoutSlope(
  saved: Parameters<CheckedBackward<Forward>>[1],
  options: Parameters<CheckedBackward<Forward>>[2],
  dOut: CheckedTensor,
): Partial<Record<"dq" | "dk", CheckedTensor>> {
  if (options.softcap === undefined) return {};
  const { q, k } = saved, [batch, rows, heads, dim] = q.shape as [number, number, number, number];
  const keys = k.shape[1]!, shape = [batch, heads, rows, keys];
  const bias = { data: new Float32Array(batch * heads * rows * keys), shape };
  const ds = backward(dOut, saved, { ...options, bias }).dBias!.data, scale = 1 / Math.sqrt(dim);
  const dq = new Float32Array(q.data.length), dk = new Float32Array(k.data.length);
  for (let n = 0; n < ds.length; n++) {
    const j = n % keys, i = Math.floor(n / keys) % rows, h = Math.floor(n / keys / rows) % heads;
    const b = Math.floor(n / keys / rows / heads);
    for (let d = 0; d < dim; d++) {
      const query = ((b * rows + i) * heads + h) * dim + d,
        key = ((b * keys + j) * heads + h) * dim + d;
      dq[query]! += scale * ds[n]! * k.data[key]!;
      dk[key]! += scale * ds[n]! * q.data[query]!;
    }
  }
  return { dq: { data: dq, shape: q.shape }, dk: { data: dk, shape: k.shape } };
}

for (const [name, plant] of Object.entries(planted)) {
  partTest("core", `found and named: ${name}`, async () => {
    const options = { ...small, ...plant.options };
    const [f, b] = [plant.forward ?? forward, plant.backward ?? backward];
    const report = await checkGradients(f, b, options);
    const { diagnosis, when, fitsForward, reproduce, problems } = only(report, ...plant.results);
    for (const [key, value] of Object.entries(plant.diagnosis)) {
      const got = diagnosis[key as keyof Diagnosis];
      if (typeof value === "number") assert.ok(Math.abs(got as number / value - 1) < 1e-3);
      else assert.deepEqual(got, value, report.text);
    }
    if (plant.when) assert.match(when, plant.when);
    if (plant.fitsForward !== undefined) assert.equal(fitsForward, plant.fitsForward);
    assert.match(
      report.text,
      new RegExp(`^${report.problems.length > 0 ? "\\d+" : ""} of \\d+ prob`),
    );

    // the line that shows it again does, with the problem that it names
    const problem = reproduce.match(/problem: "([^"]+)"/)![1]!;
    assert.ok(problems.includes(problem));
    const again = await checkGradients(f, b, { ...options, problem });
    assert.deepEqual(again.problems.map(({ text }) => text), [problem]);
    assert.equal(only(again, ...plant.results).diagnosis.kind, diagnosis.kind);
    assert.match(only(again, ...plant.results).when, /^in every problem/);
  });
}

partTest("core", "found and named: lse without its maximum", async () => {
  const report = await checkGradients(
    lseWithoutMax,
    (dOut, saved, options) => backward(dOut, { ...saved, lse: saved.right }, options),
    { ...small, options: [], problems: 4 },
  );
  const { diagnosis } = only(report, "lse");
  assert.deepEqual(diagnosis, {
    kind: "fault",
    text: "without the maximum of its row: ln Σ exp(s − max)",
  });
});

partTest(
  "core",
  "a forward pass that gives NaN for large scores is found with them alone",
  async () => {
    const report = await checkGradients(
      (q, k, v, options) => {
        const { out, lse } = forward(q, k, v, options) as Forward;
        const overflows = lse.data.some((x) => x > 88);
        return { out: overflows ? mapped(out, () => NaN) : out, lse };
      },
      (dOut, saved, options) => {
        const { out } = forward(saved.q, saved.k, saved.v, options) as Forward;
        return backward(dOut, { ...saved, out }, options);
      },
      small,
    );
    const { diagnosis, when } = only(report, "out");
    assert.deepEqual(diagnosis, { kind: "not finite", text: "NaN in all elements" });
    assert.match(when, /^with largeScores, and only then/);
  },
);

partTest("core", "a part of an axis is named", async () => {
  const lastRows = spoilt(({ dv }) => ({
    dv: mapped(
      dv,
      (x, n) => Math.floor(n / dv.shape[3]! / dv.shape[2]!) % dv.shape[1]! > 8 ? 0 : x,
    ),
  }));
  const { diagnosis } = only(await checkGradients(forward, lastRows, small), "dv");
  assert.equal(diagnosis.kind, "other");
  assert.match(diagnosis.text, /^off by .* at key 9 to 11, .* times what is allowed; its largest/);
});

partTest(
  "core",
  "functions that are not the same from call to call are found by finite differences",
  async () => {
    let calls = 0;
    const report = await checkGradients(
      (q, k, v, options) => {
        const { out, lse } = forward(q, k, v, options) as Forward;
        return { out: calls++ === 0 ? out : mapped(out, (x, n) => x + Math.sin(calls + n)), lse };
      },
      (dOut, saved, options) => backward(dOut, saved, options),
      {
        ...small,
        problem: "b1 h1/1 q9 k9 d8/8 #5",
      },
    );
    assert.equal(only(report, "dq", "dk", "dv").diagnosis.kind, "differences");
    const off = await checkGradients(forward, backward, { ...small, finiteDifferences: false });
    assert.ok(
      off.problems.every(({ results }) => results.every((r) => r.differences === undefined)),
    );
  },
);

partTest("core", "results may be arrays, of any kind of number; lse may be left out", async () => {
  const report = await checkGradients(
    (q, k, v, options) => {
      const { out, lse } = forward(q, k, v, options) as Forward;
      return { out: [...out.data], kept: lse, right: out };
    },
    (dOut, saved, options) => {
      const { q, k, v, kept: lse, right: out } = saved;
      const { dq, dk, dv } = backward(dOut, { q, k, v, out, lse }, options);
      return { dq: Float64Array.from(dq.data), dk: dk.data, dv: { data: [...dv.data] } };
    },
    small,
  );
  assert.ok(report.passed, report.text);
  assert.ok(report.problems.every(({ results }) => results.every(({ name }) => name !== "lse")));
});

partTest("core", "wrong shapes are findings", async () => {
  const cases: readonly [RegExp, Parameters<typeof spoilt>[0]][] = [
    [/^\d+ elements but must be \d+, \[/, ({ dq }) => ({
      dq: { data: dq.data.slice(1), shape: dq.shape },
    })],
    [/^of shape \[.*\] but must be of \[/, ({ dq }) => ({
      dq: { data: dq.data, shape: dq.shape.toReversed() },
    })],
    [/^a Int32Array but must be an array of numbers/, ({ dq }) => ({
      dq: { data: new Int32Array(dq.data.length) as never, shape: dq.shape },
    })],
  ];
  for (const [text, change] of cases) {
    const report = await checkGradients(forward, spoilt(change), { ...small, problems: 2 });
    assert.ok(report.findings.every(({ results }) => results.includes("dq")), report.text);
    assert.match(report.findings[0]!.diagnosis.text, text);
    assert.equal(report.findings[0]!.diagnosis.kind, "missing");
  }
  const unsummed = spoilt(({ dk }, { q, k }) => ({
    dk: { data: new Float32Array(dk.data.length * q.shape[2]! / k.shape[2]!), shape: [] },
  }));
  const sizes = { ...small.sizes, groups: [2] };
  const report = await checkGradients(forward, unsummed, { ...small, sizes, problems: 1 });
  assert.match(only(report, "dk").diagnosis.text, /those of the query heads of a group must be/);
});

partTest(
  "core",
  "what was asked is decided by the seed alone, and told as it is done",
  async () => {
    const told: string[] = [];
    const run = async (seed: number, extra: CheckOptions = {}) => {
      const report = await checkGradients(forward, backward, { ...small, seed, ...extra });
      return report.problems.map(({ text }) => text);
    };
    const first = await run(7, {
      onProblem: ({ text, passed }, done, of) => told.push(`${text} ${passed} ${done}/${of}`),
    });
    assert.deepEqual(await run(7), first);
    assert.notDeepEqual(await run(8), first);
    assert.deepEqual(told, first.map((text, n) => `${text} true ${n + 1}/10`));
    // sizes come up as they were given, and no others
    const sizes = {
      batch: [3],
      kvHeads: [2],
      groups: [3],
      lengthQ: [4],
      lengthK: "lengthQ",
    } as const;
    const [only] = await run(1, { sizes: { ...sizes, headDim: [6], valueDim: [2] }, problems: 1 });
    assert.match(only!, /^b3 h6\/2 q4 k4 d6\/2 #\d+$/);
  },
);

partTest("core", "an attention that always has some option is asked nothing else", async () => {
  const asked = ["causalTopLeft", "bias", "causal"] as const;
  const report = await checkGradients(
    (q, k, v, options) => forward(q, k, v, { ...options, causal: true }) as Forward,
    (dOut, saved, options) => backward(dOut, saved, { ...options, causal: true }),
    { ...small, always: ["causal"], options: asked, problems: 20 },
  );
  assert.ok(report.passed, report.text);
  const all = report.problems.map(({ problem }) => problem.options);
  assert.ok(all.every((own) => own.includes("causal") && !own.includes("causalTopLeft")));
  assert.ok(all.some((own) => own.includes("bias")) && all.some((own) => own.length === 1));
});

partTest("core", "without empty rows no query sees nothing", async () => {
  const options = ["causal", "mask", "keyLengths", "window"] as const;
  const asked = { ...small, options, problems: 24, finiteDifferences: false };
  const empty = (report: GradientReport) => report.problems.filter(({ emptyRows }) => emptyRows);
  assert.ok(empty(await checkGradients(forward, backward, asked)).length > 3);
  const none = await checkGradients(forward, backward, { ...asked, emptyRows: false });
  assert.deepEqual(empty(none), []);
  assert.equal(none.problems.length, 24);
});

partTest(
  "core",
  "it stops after enough failures, when it is told to, and throws if that is wanted",
  async () => {
    const wrong = scaled(() => 3, "dq");
    const report = await checkGradients(forward, wrong, { ...small, maxFailures: 2 });
    assert.equal(report.problems.filter(({ passed }) => !passed).length, 2);
    assert.equal(report.problems.at(-1)!.passed, false);

    const reason = new Error("enough"), signal = AbortSignal.abort(reason);
    await assert.rejects(() => checkGradients(forward, backward, { ...small, signal }), reason);

    await assert.rejects(
      () => checkGradients(forward, wrong, { ...small, throws: true }),
      (error: unknown) => {
        assert.ok(error instanceof GradientCheckError);
        assert.equal(error.name, "GradientCheckError");
        assert.equal(error.message, error.report.text);
        assert.equal(error.report.passed, false);
        return true;
      },
    );
    assert.ok((await checkGradients(forward, backward, { ...small, throws: true })).passed);
  },
);

partTest("core", "a report is plain data", async () => {
  const report = await checkGradients(forward, scaled(Math.sqrt, "dq"), { ...small, problems: 3 });
  const { passed, findings, problems } = JSON.parse(JSON.stringify(report));
  assert.equal(passed, false);
  assert.deepEqual(findings[0].results, ["dq"]);
  assert.equal(problems.length, 3);
});
