// From a call to its steps: planned and built, or those of a call of the same form with the buffers of this one.
import { planWebGpu } from "../../plan/webgpu/plan.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { Recent } from "../device/recent.ts";
import type { Home } from "../device/tensors.ts";
import { GpuCall } from "./call.ts";
import type { Step } from "./dispatch.ts";
import { DocumentCall } from "./max_sim.ts";
import { fillEmpty } from "./empty.ts";
import type { Made } from "./results.ts";
import { formOf, type KeptForm, outerBuffers, RepeatedCall } from "./template.ts";

/** A call that can be recorded. */
export interface Prepared {
  readonly call: GpuCall | RepeatedCall | DocumentCall;
  readonly steps: readonly Step[];
  /** The parameters of all dispatches, where they are known. */
  readonly words?: KeptForm["params"];
  /** Keeps the form of the call, with its parameters. */
  readonly keep?: (words: KeptForm["params"]) => void;
}

/** Prepares a call, whose results are `made`; undefined where there was nothing to do, and it is done. */
export function prepareCall(
  home: Home,
  forms: Recent<KeptForm>,
  problem: AttentionProblem,
  views: Views,
  made: readonly Made[],
): Prepared | undefined {
  if (problem.documents) {
    const call = new DocumentCall(home, problem, views, made);
    return orDisposed(call, () => ({ call, steps: call.steps() }));
  }
  const form = formOf(problem, views), known = form === undefined ? undefined : forms.get(form);
  if (known) {
    const call = new RepeatedCall(home, known.template, outerBuffers(views, made));
    return orDisposed(call, () => ({ call, steps: call.steps(), words: known.params }));
  }
  const plan = planWebGpu(problem, home.open.target);
  if (plan.regions.length === 0) {
    fillEmpty(home.open.device, problem, made);
    return undefined;
  }
  const call = new GpuCall(home, problem, plan, views, made);
  return orDisposed(call, () => {
    const steps = call.steps();
    const template = form && call.template(steps, outerBuffers(views, made));
    if (!template) return { call, steps };
    return { call, steps, keep: (params) => forms.set(form, { template, params }) };
  });
}

/** What `prepare` makes of a call; one that fails has given its scratch back. */
function orDisposed(call: Prepared["call"], prepare: () => Prepared): Prepared {
  try {
    return prepare();
  } catch (error) {
    call.dispose();
    throw error;
  }
}
