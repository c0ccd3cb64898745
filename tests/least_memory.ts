/** Calls in the least memory that there is for them, which the error of a smaller budget names. */

import assert from "node:assert/strict";
import { createEngine, type Engine } from "../mod.ts";
import { type Configuration, hostSession, openGpu } from "./backends.ts";
import { runTakes } from "./selection.ts";

/** Engines with a budget, the smallest one that they take, and by how many bytes budgets differ. */
export interface Budgeted {
  readonly open: (memoryBudget: number) => Promise<Engine>;
  readonly step: number;
}

const SMALLEST = 65536;

/** CPU engines. */
export const wasmWith = (threads: number): Budgeted => ({
  open: (memoryBudget) => createEngine({ backend: "wasm", threads, memoryBudget }),
  step: 65536,
});

/** GPU engines on one device, or why there is none. */
export async function gpuWith(): Promise<(Budgeted & Disposable) | { readonly absent: string }> {
  const first = await openGpu();
  if ("absent" in first) return first;
  return {
    open: async (memoryBudget) => {
      const engine = await openGpu({ device: first.device!, memoryBudget });
      if ("absent" in engine) throw new Error(engine.absent);
      return engine;
    },
    step: 1,
    [Symbol.dispose]: () => first.dispose(),
  };
}

/** The budget that errors name, from the smallest one on: one error for each call that needs more than those before. */
export async function namedBudget(
  { open }: Budgeted,
  run: (engine: Engine) => Promise<unknown>,
  budget: number = SMALLEST,
): Promise<number> {
  using engine = await open(budget);
  const before = engine.memory;
  try {
    await run(engine);
    return budget;
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error));
    const [, named] = /^Cannot run .* a memoryBudget of (\d+) is enough$/.exec(error.message) ?? [];
    assert.ok(Number(named) > budget, error.message);
    if (budget === SMALLEST) assert.deepEqual(engine.memory, before, "before any work");
    return await namedBudget({ open, step: 0 }, run, Number(named));
  }
}

/** Runs a call with the budget that its refusal names, which holds, and with a little less, which is refused. */
export async function inLeastMemory<T>(
  budgeted: Budgeted,
  run: (engine: Engine) => Promise<T>,
): Promise<{ readonly result: T; readonly budget: number }> {
  const budget = await namedBudget(budgeted, run);
  using engine = await budgeted.open(budget);
  const result = await run(engine), { total, peak, used } = engine.memory;
  assert.ok(total <= budget && peak <= budget, `${peak} of ${total} bytes, budget ${budget}`);
  assert.ok(used <= peak);
  if (budget > SMALLEST) {
    using less = await budgeted.open(budget - budgeted.step);
    await assert.rejects(() => run(less), RangeError);
    assert.equal(less.memory.used, 0);
  }
  return { result, budget };
}

/** Each pass on an engine of its own, with the least memory. */
export function leastMemory(
  name: string,
  open: () => Promise<Budgeted | { readonly absent: string }>,
): Configuration {
  return {
    name: `${name} in the least memory`,
    open: async () => {
      const budgeted = await open();
      if ("absent" in budgeted) return budgeted;
      return {
        takes: () => runTakes("core"),
        forward: async (inputs) =>
          (await inLeastMemory(budgeted, (engine) => hostSession(engine).forward(inputs))).result,
        backward: async (inputs, saved) =>
          (await inLeastMemory(budgeted, (engine) => hostSession(engine).backward(inputs, saved)))
            .result,
        [Symbol.asyncDispose]: () => {
          if (Symbol.dispose in budgeted) (budgeted as Disposable)[Symbol.dispose]();
          return Promise.resolve();
        },
      };
    },
  };
}
