// Blocks of pairs that a feature's condition hides or shows as a whole, found without looking at pairs: the same record
// as the summary of a tensor of bytes (blocks.ts). Found once for a call where all heads and sequences share them.
import { Operand } from "../../../asm/tables.gen.ts";
import type { ExtremesOf } from "../../expression/intervals.ts";
import { VARIES } from "../../expression/symbols.ts";
import type { Traced } from "../../expression/traced.ts";
import { feature } from "../../problem/features/table.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { conditionOf, domainOfHead, type LeastTile } from "../../plan/condition.ts";
import type { Plan, PlannedRegion } from "../../plan/wasm/plan.ts";
import { LEAST_ROWS } from "../../plan/wasm/regions.ts";
import type { OperandWords, Room } from "./task_record.ts";
import { BLOCK_KEYS, leastTile, PARTIAL, writeVisibleBlocks } from "./visible_blocks.ts";

/** Blocks of all queries are kept for other heads up to this size; larger ones are found again for each region. */
const KEPT_BYTES = 64 * 2 ** 20;

/** Finds the blocks of the regions of a call. */
export class HiddenBlocks {
  readonly #problem: AttentionProblem;
  readonly #condition: Traced | undefined;
  /** Whether other features hide single pairs. */
  readonly #others: boolean;
  readonly #least: LeastTile;
  readonly #perBatch: boolean;
  readonly #perHead: boolean;
  /** Whether blocks may stay for other regions. */
  readonly #keeps: boolean;
  readonly #known: ExtremesOf = new Map();
  /** Blocks that all heads and sequences share, by the first row of a region. */
  readonly #shared = new Map<number, OperandWords>();

  constructor(problem: AttentionProblem, { kernel, limits }: Plan) {
    this.#keeps = limits === undefined;
    const { features, spans } = this.#problem = problem;
    this.#condition = kernel === "decode" ? undefined : conditionOf(problem);
    this.#others = features.map(({ name }) => feature(name))
      .some(({ stage, perScore, traced }) => stage === "hide" && perScore && !traced);
    const varies = this.#condition?.graph.root.varies ?? 0;
    const [first] = spans,
      same = spans.every((span) =>
        span.lengthQ === first!.lengthQ && span.lengthK === first!.lengthK &&
        span.offset === first!.offset
      );
    this.#perBatch = !same || (varies & VARIES.batch) !== 0;
    this.#perHead = (varies & VARIES.head) !== 0;
    this.#least = leastTile(this.#condition?.grain);
  }

  /** Where a region finds its blocks; nowhere where no condition hides any. `call`: memory that stays. */
  *words(
    region: PlannedRegion,
    room: Room,
    call: Room,
  ): Generator<"work", OperandWords[], void> {
    if (!this.#condition) return [];
    if (this.#wholeBytes === 0) return [yield* this.#find(region, room)];
    const known = this.#shared.get(region.rowBegin);
    if (known) return [known];
    const words = yield* this.#find(region, call);
    this.#shared.set(region.rowBegin, words);
    return [words];
  }

  /** Bytes of the blocks of all queries where other regions share them, 0 where none does. */
  get #wholeBytes(): number {
    const bytes = Math.ceil(this.#problem.lengthQ / this.#least.rows) * this.#columns;
    const shared = !this.#perBatch && !this.#perHead && bytes <= KEPT_BYTES && this.#keeps;
    return shared ? bytes : 0;
  }

  /** Bytes of blocks at most: those that stay with the call, and those of a region. */
  bytes(region: PlannedRegion): { call: number; region: number } {
    if (!this.#condition) return { call: 0, region: 0 };
    const least = this.#least.rows, whole = this.#wholeBytes;
    // regions of rows begin where they like: a block and its slack more for each
    const regions = Math.ceil(this.#problem.lengthQ / LEAST_ROWS);
    if (whole > 0) return { call: whole + regions * (this.#columns + 64), region: 0 };
    return { call: 0, region: this.#regionBytes(region, least) };
  }

  #regionBytes({ rowBegin, rowEnd, ...region }: PlannedRegion, least: number): number {
    const { queryHeads, kvHeads } = this.#problem, group = queryHeads / kvHeads;
    const heads = this.#perHead ? (region.kvHeadEnd - region.kvHeadBegin) * group : 1;
    const batches = this.#perBatch ? region.batchEnd - region.batchBegin : 1;
    return batches * heads * Math.ceil((rowEnd - rowBegin) / least) * this.#columns + 8;
  }

  /** Bytes of a row of blocks. */
  get #columns(): number {
    return Math.ceil(this.#problem.lengthK / BLOCK_KEYS);
  }

  *#find(region: PlannedRegion, { memory, allocate }: Room): Generator<"work", OperandWords, void> {
    const { queryHeads, kvHeads } = this.#problem, group = queryHeads / kvHeads;
    const { batchBegin, rowBegin, rowEnd } = region, headBegin = region.kvHeadBegin * group;
    const heads = this.#perHead ? region.kvHeadEnd * group - headBegin : 1;
    const batches = this.#perBatch ? region.batchEnd - batchBegin : 1;
    const columns = this.#columns, least = this.#least;
    const size = Math.ceil((rowEnd - rowBegin) / least.rows) * columns;
    const pointer = allocate(batches * heads * size + 8); // kernels read whole words
    for (let n = 0; n < batches * heads; n++) {
      const batch = batchBegin + Math.floor(n / heads), head = headBegin + n % heads;
      const domain = domainOfHead(this.#problem, batch, head);
      const classifier = this.#condition!.classifier!(domain, this.#known),
        keys = this.#problem.spans[batch]!.lengthK;
      const bytes = memory.u8(pointer + n * size, size).fill(0);
      writeVisibleBlocks(classifier, { bytes, columns, rowBegin, rowEnd }, keys, least);
      if (this.#others) bytes.forEach((block, n) => bytes[n] = Math.min(block, PARTIAL));
      yield "work";
    }
    const strides = [this.#perBatch ? heads * size : 0, this.#perHead ? size : 0, columns];
    const first = batchBegin * strides[0]! + headBegin * strides[1]! +
      rowBegin / least.rows * columns; // regions of rows begin at multiples of 32
    return [Operand.Blocks, [pointer - first, ...strides, Math.log2(least.rows)]];
  }
}
