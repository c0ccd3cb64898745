// One call on the GPU and on the CPU at a time, by kv heads or sequences (the option `coexecute`). Shares follow from what
// each backend was expected to take, corrected by what it took in the first such call of the engine; then they stay, so
// that the same call has the same bits.
import type { AbortSignalLike, Backend, BackendResult } from "../backend/backend.ts";
import type { ExplainedShare, Explanation } from "../backend/explanation.ts";
import { type Shares, sharesOf } from "../plan/shares.ts";
import { type Cut, type CutAxis, cutOf, portionCall } from "../problem/portion.ts";
import type { Call, Views } from "../problem/problem.ts";
import { hostResult, resultSpecs } from "../problem/results.ts";
import type { OperandName } from "../tensor/operands.ts";

/** Both backends; the GPU has the first share. */
export interface Pair {
  readonly gpu: Backend;
  readonly cpu: Backend;
}

/** How a call is cut, or why it is not. */
export type Sharing =
  | {
    readonly cut: Exclude<Cut, { readonly whole: string }>;
    readonly shares: readonly ExplainedShare[];
  }
  | { readonly whole: string };

/** What a backend took, of what it was expected to take; by pass. */
type Rates = { readonly gpu: number; readonly cpu: number };

/** Results of a call: those that the caller has room for, and others that are made only where they are `wanted`. */
function resultsOf({ problem, views, into = {} }: Call, wanted: boolean): Views {
  return Object.fromEntries(
    resultSpecs(problem, views).map((spec) => {
      const { name, dtype, size, strides, resident, shape } = spec;
      const tensor = wanted && !into[name] && !resident
        ? hostResult(spec)
        : { data: new Float32Array(), shape };
      return [name, into[name] ?? { name, dtype, size, strides, resident, offset: 0, tensor }];
    }),
  ) as Views;
}

/** Shares calls between two backends. */
export class Coexecution {
  readonly #pair: () => Pair | undefined;
  readonly #rates = new Map<string, Rates>();

  /** `pair`: both backends, while there are two. */
  constructor(pair: () => Pair | undefined) {
    this.#pair = pair;
  }

  /** How a call would be shared that `alone` would run otherwise. */
  #share(call: Call, { gpu, cpu }: Pair, alone: Backend): Sharing {
    const cut = cutOf(call, resultsOf(call, false));
    if ("whole" in cut) return cut;
    const { axis, units } = cut, rates = this.#rates.get(call.problem.pass) ?? { gpu: 1, cpu: 1 };
    const of = (pieces: number) => portionCall(call, {}, cut, 0, pieces).problem;
    const found = sharesOf(
      units,
      (alone === gpu ? rates.gpu : rates.cpu) * alone.estimate(call.problem),
      (pieces) => rates.gpu * gpu.estimate(of(pieces)),
      (pieces) => rates.cpu * cpu.estimate(of(pieces)),
    );
    if (!found) return { whole: "both backends together would gain less than a tenth" };
    return { cut, shares: explained(found, axis, units) };
  }

  /** What an explanation says of it; nothing where there is one backend. */
  explain(call: Call, alone: Backend, { reason }: Explanation): Partial<Explanation> {
    const pair = this.#pair();
    if (!pair) return { reason: `${reason}; not shared: there is no GPU` };
    const sharing = this.#share(call, pair, alone);
    if ("whole" in sharing) return { reason: `${reason}; not shared: ${sharing.whole}` };
    const said = sharing.shares.map(({ backend, of, from, to }) =>
      `${backend} has ${of} ${from} to ${to - 1}`
    );
    return { shares: sharing.shares, reason: `${reason}; shared: ${said.join(", ")}` };
  }

  /** Runs a call on both; undefined where `alone` is to run it. */
  async run(
    call: Call,
    alone: Backend,
    signal: AbortSignalLike | undefined,
  ): Promise<readonly BackendResult[] | undefined> {
    const pair = this.#pair(), sharing = pair && this.#share(call, pair, alone);
    if (!sharing || "whole" in sharing) return undefined;
    const { cut, shares } = sharing, results = resultsOf(call, true);
    const hear = progressOf(signal, shares);
    const parts = shares.map(({ from, to }) => portionCall(call, results, cut, from, to));
    const times = await settled([pair.gpu, pair.cpu].map(async (backend, n) => {
      const { problem, views, into } = parts[n]!, begin = performance.now();
      await backend.run(problem, views, { signal: hear?.[n], into });
      return (performance.now() - begin) / backend.estimate(problem);
    }));
    const { pass } = call.problem, clamp = (n: number) => Math.max(0.1, Math.min(10, n));
    if (!this.#rates.has(pass)) {
      this.#rates.set(pass, { gpu: clamp(times[0]!), cpu: clamp(times[1]!) });
    }
    return Object.values(results).map(({ name, tensor }) => ({
      name: name as OperandName,
      tensor: tensor as BackendResult["tensor"],
    }));
  }
}

function explained({ border }: Shares, axis: CutAxis, units: number): ExplainedShare[] {
  return [
    { backend: "webgpu", of: axis, from: 0, to: border },
    { backend: "wasm", of: axis, from: border, to: units },
  ];
}

/** Waits for all, so that nobody writes to results of a call that has failed; then throws what the first threw. */
async function settled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const all = await Promise.allSettled(promises);
  const failed = all.find(({ status }) => status === "rejected");
  if (failed) throw (failed as PromiseRejectedResult).reason;
  return all.map((one) => (one as PromiseFulfilledResult<T>).value);
}

/** A signal for each share; what they are told of progress is told of the whole. */
function progressOf(
  signal: AbortSignalLike | undefined,
  shares: readonly ExplainedShare[],
): AbortSignalLike[] | undefined {
  if (!signal) return undefined;
  const units = shares.at(-1)!.to, done = shares.map(() => 0);
  return shares.map(({ from, to }, n) => ({
    throwIfAborted: () => signal.throwIfAborted(),
    ...signal.progress && {
      progress: (share: number) => {
        done[n] = share * (to - from) / units;
        signal.progress!(done.reduce((sum, one) => sum + one, 0));
      },
    },
  }));
}
