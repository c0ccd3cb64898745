// Calls of an engine beside the two passes: what looks inside attention, and late interaction. Each is checked and handed
// on to what runs calls.
import type { CallOptions } from "../problem/call_options.ts";
import type { ScoresCallOptions, TopKeys, TopKeysCallOptions } from "../problem/inside_options.ts";
import { describeColumnSums, describeScores, describeTopKeys } from "../problem/inside.ts";
import {
  describeMaxSim,
  describeMaxSimBackward,
  type MaxSimCallOptions,
  type MaxSimGradientsOf,
  type MaxSimResult,
  type SavedForMaxSim,
} from "../problem/max_sim.ts";
import type { Call } from "../problem/problem.ts";
import type { OperandName } from "../tensor/operands.ts";
import type { AnyTensor, FloatResultOf, ResultOf } from "../tensor/tensor.ts";
import type { Abortable } from "./engine_options.ts";
import { ownOptions } from "./ownership.ts";

/** What runs calls: their results by the names of operands. */
export interface CallRunner {
  /** In the order of the engine's calls. */
  run<R extends object>(call: Call, options: Abortable): Promise<R>;
  /** At once, on the calling thread. */
  runSync<R extends object>(call: Call, options: Abortable): R;
}

type Named = { readonly [name in OperandName]: AnyTensor };

/** Results of `maxSim` under their public names. */
function maxSimResult<R>({ documentScores, documentKeys, ...rest }: Named): R {
  return { ...rest, scores: documentScores, keys: documentKeys } as R;
}

/** Results of `maxSimBackward`, likewise. */
function maxSimGradients<R>({ dq, dk, ...rest }: Named): R {
  return { ...rest, dQueries: dq, dDocuments: dk } as R;
}

/** The calls. */
export class EngineCalls {
  readonly #runner: CallRunner;

  /** `runner`: the engine's own. */
  constructor(runner: CallRunner) {
    this.#runner = runner;
  }

  /** The one result of a call. */
  async #only<T>(name: OperandName, call: Call, options: Abortable): Promise<T> {
    return (await this.#runner.run<Record<string, T>>(call, options))[name]!;
  }

  /** `attentionScores` on this engine. */
  async attentionScores<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    options: ScoresCallOptions & Abortable,
  ): Promise<FloatResultOf<T>> {
    const call = describeScores(q, k, ownOptions(options, this, "attentionScores"));
    return await this.#only<FloatResultOf<T>>("scores", call, options);
  }

  /** `attentionColumnSums` on this engine. */
  async attentionColumnSums<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    lse: AnyTensor,
    options: CallOptions & Abortable = {},
  ): Promise<FloatResultOf<T>> {
    const call = describeColumnSums(q, k, lse, ownOptions(options, this, "attentionColumnSums"));
    return await this.#only<FloatResultOf<T>>("columnSums", call, options);
  }

  /** `attentionTopKeys` on this engine. */
  async attentionTopKeys<T extends AnyTensor>(
    q: T,
    k: AnyTensor,
    lse: AnyTensor,
    options: TopKeysCallOptions & Abortable,
  ): Promise<TopKeys<ResultOf<T>>> {
    const call = describeTopKeys(q, k, lse, ownOptions(options, this, "attentionTopKeys"));
    const results = await this.#runner.run<Record<string, AnyTensor>>(call, options);
    const { topKeys, topProbabilities, ...rest } = results;
    return { keys: topKeys, probabilities: topProbabilities, ...rest } as TopKeys<ResultOf<T>>;
  }

  /** `maxSim` on this engine. */
  async maxSim<T extends AnyTensor>(
    queries: T,
    documents: AnyTensor,
    options: MaxSimCallOptions & Abortable,
  ): Promise<MaxSimResult<ResultOf<T>>> {
    const call = describeMaxSim(queries, documents, ownOptions(options, this, "maxSim"));
    return maxSimResult(await this.#runner.run<Named>(call, options));
  }

  /** `maxSimSync` on this engine. */
  maxSimSync<T extends AnyTensor>(
    queries: T,
    documents: AnyTensor,
    options: MaxSimCallOptions & Abortable,
  ): MaxSimResult<ResultOf<T>> {
    const call = describeMaxSim(queries, documents, ownOptions(options, this, "maxSim"));
    return maxSimResult(this.#runner.runSync<Named>(call, options));
  }

  /** `maxSimBackward` on this engine. */
  async maxSimBackward<Q extends AnyTensor, K extends AnyTensor>(
    dScores: AnyTensor,
    saved: SavedForMaxSim<Q, K>,
    options: Abortable = {},
  ): Promise<MaxSimGradientsOf<Q, K>> {
    const own = ownOptions(options, this, "maxSimBackward");
    const call = describeMaxSimBackward(dScores, saved, own);
    return maxSimGradients(await this.#runner.run<Named>(call, options));
  }

  /** `maxSimBackwardSync` on this engine. */
  maxSimBackwardSync<Q extends AnyTensor, K extends AnyTensor>(
    dScores: AnyTensor,
    saved: SavedForMaxSim<Q, K>,
    options: Abortable = {},
  ): MaxSimGradientsOf<Q, K> {
    const own = ownOptions(options, this, "maxSimBackward");
    const call = describeMaxSimBackward(dScores, saved, own);
    return maxSimGradients(this.#runner.runSync<Named>(call, options));
  }
}
