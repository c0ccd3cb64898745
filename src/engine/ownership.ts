// Which engine a resident tensor belongs to, so that calls need not be told. A tensor keeps its engine alive.
import { Complaint, show } from "../tensor/errors.ts";
import type { AnyTensor } from "../tensor/tensor.ts";

const OWNERS = new WeakMap<object, object>();

/** Notes the engine of a resident tensor; returns the tensor. */
export function own<T extends object>(tensor: T, engine: object): T {
  OWNERS.set(tensor, engine);
  return tensor;
}

/** Notes the engine of all resident tensors among the results of a call; returns the results. */
export function ownResults<R extends object>(results: R, engine: object): R {
  for (const result of Object.values(results)) {
    if (typeof result !== "object") continue;
    if ("read" in result) OWNERS.set(result, engine);
    else if (!("data" in result)) ownResults(result, engine); // statistics
  }
  return results;
}

/** The engine of the first resident tensor among some. */
export function ownerOf(tensors: Iterable<AnyTensor | undefined>): object | undefined {
  for (const tensor of tensors) {
    const owner = typeof tensor === "object" && tensor !== null ? OWNERS.get(tensor) : undefined;
    if (owner) return owner;
  }
  return undefined;
}

/** The options of a method of an engine: `engine` may only be that one, which is what `attention()` passes on. */
export function ownOptions<O extends object>(
  options: O,
  own: object | undefined,
  action: string,
): O {
  const { engine = own } = (options ?? {}) as { engine?: unknown };
  if (engine === own) return options;
  throw new Complaint(action).type(
    `options has the engine ${show(engine)} but this method runs on its own: leave it out`,
  );
}
