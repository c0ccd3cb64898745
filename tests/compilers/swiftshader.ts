// A few cases of the grid on SwiftShader, through Deno: another driver than lavapipe, with subgroups of four, that
// flushes subnormals and checks bounds in its own way. Started with VK_ICD_FILENAMES; prints a report in JSON.
import { ok } from "node:assert/strict";
import { hostSession, openGpu, type Session } from "../backends.ts";
import { type Case, caseName, defineCase } from "../case.ts";
import type { Inputs } from "../inputs.ts";
import type { Shape4, TestTensor } from "../reference/problem.ts";
import { bothPasses, checkCase, type Pass } from "../run_grid.ts";
import type { Report } from "./compile.ts";

const grouped = { batch: 2, queryHeads: 4, kvHeads: 2, headDim: 40 } as const;

/** Chosen so that many share their kernels: each is compiled for seconds. */
const cases: readonly Case[] = [
  defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 19, lengthK: 67, headDim: 35 }),
  defineCase({ ...grouped, lengthQ: 70, lengthK: 131, causal: true }),
  defineCase({ ...grouped, lengthQ: 97, window: { left: 10, right: 3 } }),
  defineCase({ ...grouped, lengthQ: 45, lengthK: 70, keyLengths: [33, 0] }),
  defineCase({ ...grouped, lengthQ: 45, lengthK: 70, bias: "1hqk", biasHoles: true, dLse: true }),
  defineCase({ ...grouped, lengthQ: 45, lengthK: 70, mask: { axes: "b1qk", pattern: "random" } }),
  defineCase({ ...grouped, lengthQ: 40, lengthK: 70, softcap: 5, amplitude: 5 }),
  defineCase({ queryHeads: 8, kvHeads: 1, lengthQ: 1, lengthK: 600, headDim: 32, causal: true }),
  defineCase({ ...grouped, lengthQ: 33, lengthK: 50, dtype: "f16" }),
  defineCase({ queryHeads: 2, lengthQ: 33, lengthK: 50, headDim: 64, valueDim: 128 }),
  defineCase({ lengthQ: 20, lengthK: 40, headDim: 44, dtype: "bf16", arrangement: "padded rows" }),
];

/** Keys that no query may see hold NaN. */
const poisonedCase = defineCase({
  ...{ ...grouped, lengthQ: 45, lengthK: 70 },
  mask: { axes: "b11k", pattern: "padding" },
});

function poison(inputs: Inputs): Inputs {
  const { data: seen } = inputs.options.mask!;
  const poisoned = (tensor: TestTensor): TestTensor => {
    const [batch, keys, heads, dim] = tensor.shape as Shape4, row = heads * dim;
    ok(seen.length === batch * keys, "the mask is one of keys");
    return { ...tensor, data: tensor.data.map((x, n) => seen[Math.floor(n / row)] ? x : NaN) };
  };
  return { ...inputs, k: poisoned(inputs.k), v: poisoned(inputs.v) };
}

/** Given NaN where nothing may be seen, both passes must give what they give without. */
const behindMask: Pass = {
  ...bothPasses,
  run: (session, inputs) => bothPasses.run(session, poison(inputs)),
};

const failures: string[] = [];

async function check(pass: Pass, c: Case, session: Session, about = ""): Promise<void> {
  const rerun = "deno task test:compilers swiftshader";
  try {
    await checkCase(pass, c, new Map([["SwiftShader", session]]), "", rerun);
  } catch (error) {
    failures.push(`"${caseName(c)}"${about}\n${(error as Error).message}`);
  }
}

const engine = await openGpu();
const report = (absent?: string): Report => (
  { texts: cases.length + 1, counted: 0, failures, absent }
);
if ("absent" in engine) console.log(JSON.stringify(report(engine.absent)));
else {
  const { target } = engine;
  const adapter = target.backend === "webgpu" ? target.adapter : target.backend;
  if (!/swiftshader/i.test(adapter)) failures.push(`the adapter is ${adapter}`);
  else {
    const session = hostSession(engine);
    for (const c of cases) await check(bothPasses, c, session);
    await check(behindMask, poisonedCase, session, " with NaN behind the mask");
  }
  console.log(JSON.stringify(report()));
}
// the device would keep the process
Deno.exit(0);
