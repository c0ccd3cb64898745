// What runs for a region, dispatch by dispatch, in order: src/webgpu/dispatch turns the list into dispatches, and
// explain() tells it.
import { FEATURES } from "../../problem/features/table.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { rotatedInputs, rotationOf } from "../../problem/rotations.ts";
import { follows, gradientsOf, type OperandName, OPERANDS } from "../../tensor/operands.ts";
import { plannedResults } from "../results.ts";
import { isScheduled, type Region } from "./regions.ts";
import type { GpuItem } from "./work_items.ts";

/** A kernel that runs for a region. `combine`: KV splits of a region; `merge into`: a region and what is there. */
export type GpuKernel =
  | "rotate"
  | "copy"
  | "classify"
  | "forward"
  | "decode"
  | "combine"
  | "merge into"
  | "delta"
  | "row state"
  | "dq"
  | "dkv"
  | "dk"
  | "dv"
  | "repair"
  | "pair sum"
  | "row sum"
  | "captured sum"
  | "add"
  | "row stats"
  | "scores"
  | "column sums"
  | "top keys"
  | "sort keys";

/** One dispatch; behind all regions results are narrowed, and statistics are taken from where they were made. */
export interface GpuStep<K extends GpuKernel | "narrow" | "statistic" = GpuKernel> {
  readonly kernel: K;
  /** The operand that it is about, where a kernel serves several. */
  readonly of?: OperandName;
  /** Pieces of work. */
  readonly items: number;
}

/** What a region's steps depend on. */
export interface RegionWork extends Region {
  /** Whether an earlier region holds other keys of the same queries, or other queries of the same keys. */
  readonly moreKeys: boolean;
  readonly moreRows: boolean;
  /** Whether no later region does. */
  readonly lastKeys: boolean;
  readonly lastRows: boolean;
  /** Ranges of keys that are computed separately and then combined. */
  readonly splits: number;
  /** Tiles of query rows (forward, decode, dQ), and tiles of keys (dK/dV). */
  readonly rowItems: readonly GpuItem[];
  readonly keyItems: readonly GpuItem[];
}

/** Which kind of feature brings an operand. */
function stageOf(input: OperandName): string | undefined {
  return FEATURES.find(({ operands }) => (operands as OperandName[] | undefined)?.includes(input))
    ?.stage;
}

/** Small tensors that live on the GPU are copied behind the work items. */
function copies({ operands }: AttentionProblem): GpuStep[] {
  return (Object.keys(operands) as OperandName[])
    .filter((name) => isScheduled(name) && operands[name]!.resident)
    .map((of) => ({ kernel: "copy", of, items: 1 }));
}

/** Results that are windows of what they are: see plan.ts. */
type Windows = ReadonlySet<OperandName> | undefined;

/** Operands whose rows turn are brought into scratch by the first region that reads them; of those alone by each. */
function rotations(
  problem: AttentionProblem,
  { moreKeys, moreRows }: RegionWork,
  windows: Windows,
): GpuStep[] {
  return rotatedInputs(problem)
    .filter((of) => windows || (follows(of) === "keys" ? !moreRows : !moreKeys))
    .map((of) => ({ kernel: "rotate", of, items: 1 }));
}

/** Gradients turn back once the last region has added its share; shares that are added elsewhere turn one by one. */
function rotationsBack(
  problem: AttentionProblem,
  { lastKeys, lastRows }: RegionWork,
  windows: Windows,
): GpuStep[] {
  const last = (of: OperandName) =>
    follows(of) === "keys" ? lastRows || windows?.has(of) : lastKeys;
  return gradientsOf(problem.operands)
    .filter((of) => rotationOf(problem, of) && last(of))
    .map((of) => ({ kernel: "rotate", of, items: 1 }));
}

/** What operands of bytes say of the tiles of items is found out before a kernel asks. */
function classifies(
  { operands }: AttentionProblem,
  { rowItems, keyItems }: Pick<RegionWork, "rowItems" | "keyItems">,
): GpuStep[] {
  const items = rowItems.length + keyItems.length;
  return (Object.keys(operands) as OperandName[])
    .filter((name) => OPERANDS[name].dtype === "bool")
    .map((of) => ({ kernel: "classify", of, items }));
}

/** The steps of a forward region. */
export function forwardSteps(
  problem: AttentionProblem,
  work: RegionWork,
  kernel: "forward" | "decode",
  windows?: Windows,
): GpuStep[] {
  const steps = [...rotations(problem, work, windows), ...copies(problem)];
  if (kernel === "forward") steps.push(...classifies(problem, work));
  steps.push({ kernel, items: work.rowItems.length });
  if (work.splits > 1) steps.push({ kernel: "combine", items: 1 });
  steps.push({ kernel: "repair", of: "out", items: 1 });
  if (work.moreKeys) steps.push({ kernel: "merge into", items: 1 });
  return steps;
}

/** The gradients that are sums: over pairs, or over rows, which a region adds once. */
function sums(problem: AttentionProblem, { moreKeys }: RegionWork): GpuStep[] {
  return gradientsOf(problem.operands).filter((name) => OPERANDS[name].summed).flatMap((of) => {
    const rowSum: GpuStep = { kernel: "row sum", of, items: 1 };
    if (stageOf(OPERANDS[of].gradientOf!) === "state") return moreKeys ? [] : [rowSum];
    const pairSum: GpuStep = { kernel: "pair sum", of, items: 1 };
    return follows(of) === "heads" ? [pairSum, rowSum] : [pairSum];
  });
}

/** The steps of a backward region; `fused`: dK and dV are made by one kernel. */
export function backwardSteps(
  problem: AttentionProblem,
  work: RegionWork,
  fused: boolean,
  windows?: Windows,
): GpuStep[] {
  const { rowItems, keyItems, moreKeys, moreRows } = work, items = keyItems.length;
  const dkv: GpuStep[] = fused
    ? [{ kernel: "dkv", items }]
    : [{ kernel: "dk", items }, { kernel: "dv", items }];
  const captured: GpuStep[] = problem.captured > 0
    ? [{ kernel: "captured sum", of: "dCaptured", items: rowItems.length }]
    : [];
  // regions before this one have been here: its share is made in scratch and added
  const moreOf = (of: "dk" | "dv") => moreRows && !windows?.has(of) && of;
  const added = [moreKeys && "dq", moreOf("dk"), moreOf("dv")] as const;
  return [
    ...rotations(problem, work, windows),
    ...copies(problem),
    ...classifies(problem, work),
    { kernel: "delta", items: 1 },
    { kernel: "row state", items: rowItems.length },
    { kernel: "dq", items: rowItems.length },
    { kernel: "repair", of: "dq", items: 1 },
    ...dkv,
    { kernel: "repair", of: "dk", items: 1 },
    { kernel: "repair", of: "dv", items: 1 },
    ...sums(problem, work),
    ...captured,
    ...added.flatMap((of): GpuStep[] => of ? [{ kernel: "add", of, items: 1 }] : []),
    ...rotationsBack(problem, work, windows),
  ];
}

/** The steps of a region that looks inside; `last`: whether it makes weights. */
export function insideSteps(
  problem: AttentionProblem,
  work: RegionWork,
  last: boolean,
): GpuStep[] {
  const { pass, operands } = problem, items = 1;
  const steps = [...rotations(problem, work, undefined), ...copies(problem)];
  if (pass === "topKeys") steps.push({ kernel: "top keys", items });
  if (operands.lse && last) {
    steps.push(
      ...classifies(problem, work),
      { kernel: "row stats", items },
      { kernel: "row state", items: work.rowItems.length },
    );
  }
  if (pass === "scores") steps.push({ kernel: "scores", items });
  if (pass === "columnSums") steps.push({ kernel: "column sums", items });
  if (pass === "topKeys" && last) steps.push({ kernel: "sort keys", items });
  return steps;
}

/** What runs behind all regions: results that are stored in 16 bits, and statistics. */
export function lastSteps(problem: AttentionProblem): GpuStep<"narrow" | "statistic">[] {
  const narrow = plannedResults(problem).filter(({ dtype }) => dtype === "f16" || dtype === "bf16");
  return [
    ...narrow.map(({ name: of }) => ({ kernel: "narrow", of, items: 1 }) as const),
    ...problem.statistics.map((of) => ({ kernel: "statistic", of, items: 1 }) as const),
  ];
}
