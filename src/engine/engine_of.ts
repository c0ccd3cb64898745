// Which engine runs a public call.
import type { SavedForBackward } from "../problem/call_options.ts";
import { Complaint, show } from "../tensor/errors.ts";
import type { AnyTensor } from "../tensor/tensor.ts";
import type { Engine } from "./engine.ts";
import { ownerOf } from "./ownership.ts";

type Options = { engine?: Engine | undefined; into?: object | undefined } | undefined;

/** The engine of a call: the one that is named, or that of its resident tensors, or `other`. */
export function engineOf(
  options: Options,
  action: string,
  tensors: Iterable<AnyTensor | undefined>,
  other: () => Engine,
): Engine {
  return namedEngine(options, action, tensors) ?? other();
}

/** The same, undefined where there is none. */
export function namedEngine(
  options: Options,
  action: string,
  tensors: Iterable<AnyTensor | undefined>,
): Engine | undefined {
  const { engine, into } = options ?? {};
  if (engine === undefined) {
    const places = typeof into === "object" && into !== null ? Object.values(into) : [];
    return ownerOf([...tensors, ...places]) as Engine | undefined;
  }
  return checkEngine(engine, new Complaint(action));
}

/** The engine that an option names; throws where it is none. */
export function checkEngine(engine: unknown, complaint: Complaint): Engine {
  // by what it can do: another copy of this module, as bundlers make, has a class of its own
  const runs = typeof engine === "object" && engine !== null && "attentionSync" in engine &&
    "explain" in engine;
  if (!runs) throw complaint.type(`engine is ${show(engine)} but must be an Engine`);
  checkBare(engine as Engine, complaint);
  return engine as Engine;
}

/** Throws where an engine is behind a proxy, as reactive stores of frameworks put it: it has no private fields there. */
export function checkBare(engine: Engine, complaint: Complaint): void {
  try {
    void engine.disposed;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw complaint.type(`engine cannot be used (${error.message}): pass the engine itself`);
  }
}

/** What a backward call is given; `saved` is checked later. */
export function backwardTensors(
  dOut: AnyTensor,
  saved: SavedForBackward | undefined,
): (AnyTensor | undefined)[] {
  const { stats, ...tensors } = saved ?? {};
  return [dOut, ...Object.values(tensors), ...Object.values(stats ?? {})];
}

/** What the gradients of `maxSim` are given; `saved` is checked later. */
export function savedTensors(dScores: AnyTensor, saved: object | undefined): AnyTensor[] {
  return [dScores, ...Object.values(saved ?? {})];
}

/** What a merge is given; `parts` are checked later. */
export function* partTensors(parts: unknown): Generator<AnyTensor> {
  for (const part of Array.isArray(parts) ? parts : []) yield* [part?.out, part?.lse];
}
