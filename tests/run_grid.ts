/** Runs sections of the grid on configurations: the oracle once for each case, then every configuration on it. */

import assert, { AssertionError } from "node:assert/strict";
import { assertClose, rerunLine } from "./assert_close.ts";
import {
  type BackwardResult,
  bothPasses as runBoth,
  type Configuration,
  engineConfigurations,
  type ForwardResult,
  residentConfigurations,
  type Session,
  syncConfiguration,
} from "./backends.ts";
import { type Case, caseName } from "./case.ts";
import type { Section } from "./grid.ts";
import { type Inputs, makeInputs, operandShape } from "./inputs.ts";
import {
  dtypeOf,
  expectBoth,
  type ExpectedResults,
  expectForward,
  gradientInputs,
} from "./oracle.ts";
import { isSmall, onlyCase } from "./selection.ts";
import { sharedSessions } from "./sessions.ts";
import { type Layout, readOperand, readPacked, type TestTensor } from "./reference/problem.ts";

/** What is asked of the library, with what it must give. */
export interface Pass {
  readonly name: string;
  expect(inputs: Inputs): ExpectedResults;
  run(session: Session, inputs: Inputs): Promise<ForwardResult | BackwardResult>;
}

export const forwardPass: Pass = {
  name: "attention()",
  expect: expectForward,
  run: (session, inputs) => session.forward(inputs),
};

/** Both, backward on what the library's own forward saved, as a caller would: the oracle makes S and P once. */
export const bothPasses: Pass = {
  name: "attention() and attentionBackward()",
  expect: expectBoth,
  run: runBoth,
};

/** A way to call that takes some cases only. */
function taking(configuration: Configuration, takes: (c: Case) => boolean): Configuration {
  const open = async () => {
    const session = await configuration.open();
    if ("absent" in session) return session;
    return { ...session, takes: (c: Case) => takes(c) && session.takes(c) };
  };
  return { ...configuration, open };
}

/**
 * Every way to call, which one run of the oracle serves: every engine, and for small cases calls without await and, where
 * operands are packed, resident tensors.
 */
export const gridConfigurations: readonly Configuration[] = [
  ...engineConfigurations,
  taking(syncConfiguration, isSmall),
  ...residentConfigurations.map((way) =>
    taking(way, (c) => isSmall(c) && c.arrangement === "packed")
  ),
];

/** Registers one test a section, with one step a case. */
export function testGrid(
  pass: Pass,
  sections: readonly Section[],
  configurations: readonly Configuration[],
  how: string,
  file: string,
): void {
  const only = onlyCase(), open = sharedSessions(configurations);
  for (const { title, cases } of sections) {
    const wanted = only === undefined ? cases : cases.filter((c) => caseName(c) === only);
    if (wanted.length === 0) continue;
    Deno.test({
      name: `${pass.name} beside the oracle, ${how}: ${title}`,
      // The engines' workers end with the engines, after the last test of the file.
      sanitizeOps: false,
      sanitizeResources: false,
      async fn(t) {
        const sessions = await open();
        for (const c of wanted) {
          const taking = new Map([...sessions].filter(([_, session]) => session.takes(c)));
          if (taking.size === 0) continue;
          await t.step(caseName(c), () => checkCase(pass, c, taking, file));
        }
      },
    });
  }
}

/** Checks one case on every session; a failure names each session that failed. */
export async function checkCase(
  pass: Pass,
  c: Case,
  sessions: ReadonlyMap<string, Session>,
  file: string,
  rerun: string = rerunLine(caseName(c), file),
): Promise<void> {
  const inputs = makeInputs(c);
  const expected = pass.expect(inputs);
  const failures: string[] = [];
  for (const [configuration, session] of sessions) {
    try {
      checkResults(c, inputs, configuration, rerun, await pass.run(session, inputs), expected);
    } catch (error) {
      failures.push(
        error instanceof AssertionError
          ? error.message
          : `${configuration} threw ${Deno.inspect(error)}\n  rerun: ${rerun}`,
      );
    }
  }
  if (failures.length > 0) throw new AssertionError({ message: failures.join("\n") });
}

/** Throws unless all results of a case are what they must be. */
export function checkResults(
  c: Case,
  inputs: Inputs,
  configuration: string,
  rerun: string,
  results: ForwardResult | BackwardResult,
  expected: ExpectedResults,
): void {
  const tensors: Readonly<Record<string, TestTensor | undefined>> = { ...results };
  for (const [result, want] of Object.entries(expected)) {
    const tensor = tensors[result];
    assert.ok(tensor, `${configuration} returned no ${result}\n  rerun: ${rerun}`);
    const about = `${result} of ${configuration}\n  rerun: ${rerun}`;
    assert.deepEqual([...tensor.shape], resultShape(c, result, inputs), `shape of ${about}`);
    assert.equal(dtypeOf(tensor), want.dtype, `dtype of ${about}`);
    const subject = { result, configuration, caseName: inputs.name, seed: inputs.seed, rerun };
    const values = canonical(tensor, result, c.layout);
    assertClose(subject, values, want, canonicalShape(c, result, inputs));
  }
}

/** The values in the oracle's order: [batch, head, row, dim], or as they are for lse and gradients of options. */
export function canonical(tensor: TestTensor, result: string, layout: Layout): Float64Array {
  const isOperand = ["out", "dq", "dk", "dv"].includes(result);
  return isOperand ? readOperand(tensor, layout) : readPacked(tensor);
}

function resultShape(c: Case, result: string, inputs: Inputs): number[] {
  switch (result) {
    case "out":
      return operandShape(c.layout, c.batch, c.queryHeads, c.lengthQ, c.valueDim);
    case "lse":
    case "entropy":
    case "maxProbability":
    case "expectedKey":
      return [c.batch, c.queryHeads, c.lengthQ];
    default: // a gradient is like its input
      return [...gradientInputs(inputs)[result]?.shape ?? []];
  }
}

function canonicalShape(c: Case, result: string, inputs: Inputs): readonly number[] {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = c;
  switch (result) {
    case "out":
      return [batch, queryHeads, lengthQ, valueDim];
    case "dq":
      return [batch, queryHeads, lengthQ, headDim];
    case "dk":
      return [batch, kvHeads, lengthK, headDim];
    case "dv":
      return [batch, kvHeads, lengthK, valueDim];
    default:
      return resultShape(c, result, inputs);
  }
}
