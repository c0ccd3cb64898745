// Running a call as two whose results are merged, where its sequences share keys.
import type { Backend, BackendResult } from "../backend/backend.ts";
import { cascadeKeys } from "../plan/cascade.ts";
import { asSequences, takeApart } from "../problem/cascade.ts";
import type { MergePart } from "../problem/merge.ts";
import type { Call } from "../problem/problem.ts";
import { hostResult, resultSpecs } from "../problem/results.ts";
import { Complaint } from "../tensor/errors.ts";
import { isResident, type Tensor } from "../tensor/tensor.ts";
import { viewOperand } from "../tensor/view.ts";

/** How a backend runs a call; `resident`: its results stay there. */
type Run = (call: Call, resident: boolean) => Promise<readonly BackendResult[]>;

/** Results where the caller has q: in host memory, unless it is resident. */
async function broughtHome(
  results: readonly BackendResult[],
  { problem, views }: Call,
): Promise<readonly BackendResult[]> {
  if (views.q!.resident) return results;
  const specs = resultSpecs(problem, views);
  return await Promise.all(results.map(async ({ name, tensor }) => {
    const host = hostResult(specs.find((spec) => spec.name === name)!);
    (host.data as Float32Array).set(await (tensor as Tensor).read("f32"));
    (tensor as Tensor).dispose();
    return { name, tensor: host };
  }));
}

/** The results of a call as a part of a merge. */
function partOf(results: readonly BackendResult[], { problem }: Call): MergePart {
  const complaint = new Complaint("attention");
  const view = (name: "out" | "lse") => {
    const { tensor } = results.find((result) => result.name === name)!;
    return viewOperand(name, tensor, problem.layout, complaint);
  };
  return { out: view("out"), lse: view("lse") };
}

/** Runs a call on a backend: keys that its sequences share are read once, where that is faster. */
export async function runCascade(
  backend: Backend,
  call: Call,
  run: Run,
): Promise<readonly BackendResult[]> {
  const shared = cascadeKeys(call.problem, call.views, backend.target);
  if (shared === 0) return await run(call, false);
  const [prefix, rest] = takeApart(call, shared), made: BackendResult[] = [];
  try {
    const part = async (one: Call): Promise<MergePart> => {
      const results = await run(one, true);
      made.push(...results);
      return partOf(results, one);
    };
    // the rest has as few rows as the call: a precision that these have not is refused before any work
    const second = await part(rest), first = await part(prefix);
    const { part: lines, shape } = asSequences(call.problem, first);
    return await broughtHome(backend.merge([lines, second], shape), call);
  } finally {
    for (const { tensor } of made) if (isResident(tensor)) tensor.dispose();
  }
}
