// What a check is asked, with every default filled in.
import type { AbortSignalLike } from "../backend/backend.ts";
import type { Layout } from "../problem/call_options.ts";
import type { CheckedOption, CheckedProblem } from "./problem.ts";

/** Sizes from which problems are made: values of each axis, all of which come up. */
export interface CheckSizes {
  /** Sequences. Default 1, 2. */
  readonly batch?: readonly number[] | undefined;
  /** Heads of k and v. Default 1, 2, 3. */
  readonly kvHeads?: readonly number[] | undefined;
  /** Heads of q for each of these: `[1]` is attention without groups. Default 1, 2. */
  readonly groups?: readonly number[] | undefined;
  /** Queries. Default 1, 5, 16, 33, 70. */
  readonly lengthQ?: readonly number[] | undefined;
  /** Keys; `"lengthQ"`: as many as queries. Default 3, 16, 37, 65, 130. */
  readonly lengthK?: readonly number[] | "lengthQ" | undefined;
  /** Numbers in a row of q and k. Default 8, 15, 16, 20. */
  readonly headDim?: readonly number[] | undefined;
  /** Numbers in a row of v; `"headDim"`: as many. Default `"headDim"`. */
  readonly valueDim?: readonly number[] | "headDim" | undefined;
}

/** Storage types of attentions that can be checked. */
export type StorageName = "f32" | "f16" | "bf16";

/** Options with every default filled in. */
export interface Settings {
  readonly sizes: Required<{ readonly [N in keyof CheckSizes]: NonNullable<CheckSizes[N]> }>;
  readonly options: readonly CheckedOption[];
  readonly always: readonly CheckedOption[];
  readonly problems: number;
  readonly problem: CheckedProblem | undefined;
  readonly seed: number;
  readonly tolerance: number;
  readonly layout: Layout;
  readonly storage: StorageName;
  readonly emptyRows: boolean;
  readonly finiteDifferences: boolean;
  readonly maxFailures: number;
  readonly throws: boolean;
  readonly signal: AbortSignalLike | undefined;
}
