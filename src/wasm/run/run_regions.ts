// The flow of a plan: regions are brought in, their items published, their results taken out.
import type { AbortSignalLike } from "../../backend/backend.ts";
import { type PlannedRegion, sharedItems } from "../../plan/wasm/plan.ts";
import type { Progress } from "./queue.ts";
import type { Runner } from "./runner.ts";
import type { StagedRegion, Staging } from "./staging.ts";

/** What regions run with. */
interface Means {
  readonly staging: Staging;
  readonly runner: Runner;
  /** Regions that may be in memory at the same time. */
  readonly places: number;
  /** Does an item on the calling thread. */
  readonly alone: (item: number) => void;
}

/** A region in memory, and the step that it is at. */
interface Active {
  readonly staged: StagedRegion;
  readonly index: number;
  step: number;
}

/** Runs the regions of a plan. */
export function* runRegions(
  regions: readonly PlannedRegion[],
  means: Means,
  signal: AbortSignalLike | undefined,
): Progress<void> {
  const active: Active[] = [], { staging, runner, places } = means;
  const items = signal?.progress ? sharedItems({ regions }) : 0; // only for who listens
  let next = 0;
  const mayStage = () => {
    if (next === regions.length || active.length === places) return false;
    // a region that adds to the dK and dV of another must wait for it
    return !regions[next]!.accumulate || active.length === 0;
  };
  while (next < regions.length || active.length > 0) {
    signal?.throwIfAborted();
    signal?.progress?.(items > 0 ? runner.finished() / items : 0);
    if (mayStage()) {
      const staged = yield* staging.stage(regions[next]!, next);
      active.push({ staged, index: next++, step: 0 });
      yield* begin(active.at(-1)!, means);
      yield "work";
      continue;
    }
    const oldest = active[0]!;
    if (runner.done(oldest.index)) {
      if (++oldest.step < oldest.staged.steps.length) yield* begin(oldest, means);
      else yield* staging.collect(active.shift()!.staged);
      yield "work";
      continue;
    }
    yield runner.advance() || runner.wait() ? "work" : "threads";
  }
}

/** Begins a step of a region; one that threads do not share is done at once. */
function* begin({ staged, index, step }: Active, { runner, alone }: Means): Progress<void> {
  const items = staged.steps[step]!;
  if (staged.region.steps[step]!.shared) return runner.publish(index, items);
  for (const item of items) {
    alone(item);
    yield "work";
  }
}
