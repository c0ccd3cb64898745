// The two passes: checked, run, and verified where that was asked for.
import type {
  AttentionGradients,
  AttentionResult,
  BackwardCallOptions,
  CallOptions,
  SavedForBackward,
} from "../problem/call_options.ts";
import { backwardCall, forwardCall } from "../problem/into.ts";
import type { Call } from "../problem/problem.ts";
import { parseVerify, refuseVerify, type VerifyCallOptions } from "../problem/verification.ts";
import type { AnyTensor, ResultOf } from "../tensor/tensor.ts";
import type { Abortable } from "./engine_options.ts";
import { ownOptions } from "./ownership.ts";
import type { Runner } from "./runner.ts";

/** Why a call that cannot wait does not verify. */
const LOADED = "what verifies is loaded when it is needed";

type Gradients<Q, K, V> = AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>>;

/** A forward call, checked. */
export function describeForwardOn(
  { engine }: Runner,
  q: AnyTensor,
  k: AnyTensor,
  v: AnyTensor,
  options: CallOptions,
): Call {
  return forwardCall(q, k, v, ownOptions(options, engine, "attention"));
}

/** A backward call, checked. */
export function describeBackwardOn(
  { engine }: Runner,
  dOut: AnyTensor,
  saved: SavedForBackward,
  options: BackwardCallOptions,
): Call {
  return backwardCall(dOut, saved, ownOptions(options, engine, "attentionBackward"));
}

/** `attention`. */
export async function attentionOn<T extends AnyTensor>(
  runner: Runner,
  q: T,
  k: AnyTensor,
  v: AnyTensor,
  options: CallOptions & Abortable & VerifyCallOptions,
): Promise<AttentionResult<ResultOf<T>>> {
  const call = describeForwardOn(runner, q, k, v, options);
  const choice = parseVerify(options.verify, "attention");
  // not by runner.run: a turn later, the promise would be settled after that of engine.synchronize
  const results = await runner.router.run<AttentionResult<ResultOf<T>>>(call, options.signal);
  const result = runner.own(call, results);
  if (!choice) return result;
  const { verify } = await import("../verify/verify.ts");
  const done = { call, given: { k, v }, sequences: options.sequences, result };
  return { ...result, verified: await verify(done, choice) };
}

/** `attentionSync`. */
export function attentionSyncOn<T extends AnyTensor>(
  runner: Runner,
  q: T,
  k: AnyTensor,
  v: AnyTensor,
  options: CallOptions & Abortable,
): AttentionResult<ResultOf<T>> {
  refuseVerify(options, "attentionSync", `use attention: ${LOADED}`);
  return runner.runSync(describeForwardOn(runner, q, k, v, options), options);
}

/** `attentionBackward`. */
export async function backwardOn<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
  runner: Runner,
  dOut: AnyTensor,
  saved: SavedForBackward<Q, K, V>,
  options: BackwardCallOptions & Abortable & VerifyCallOptions,
): Promise<Gradients<Q, K, V>> {
  const call = describeBackwardOn(runner, dOut, saved, options);
  const choice = parseVerify(options.verify, "attentionBackward");
  const results = await runner.router.run<Gradients<Q, K, V>>(call, options.signal);
  const result = runner.own(call, results);
  if (!choice) return result;
  const { verifyGradients } = await import("../verify/verify.ts");
  return { ...result, verified: await verifyGradients({ call, result }, choice) };
}

/** `attentionBackwardSync`. */
export function backwardSyncOn<Q extends AnyTensor, K extends AnyTensor, V extends AnyTensor>(
  runner: Runner,
  dOut: AnyTensor,
  saved: SavedForBackward<Q, K, V>,
  options: BackwardCallOptions & Abortable,
): Gradients<Q, K, V> {
  refuseVerify(options, "attentionBackwardSync", `use attentionBackward: ${LOADED}`);
  return runner.runSync(describeBackwardOn(runner, dOut, saved, options), options);
}
