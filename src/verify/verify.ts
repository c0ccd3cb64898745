// Rows of a call computed again in float64 and compared. Loaded when it is first asked for: programs that verify nothing
// do not carry it.
import type { AttentionResult } from "../problem/call_options.ts";
import { parseSequences } from "../problem/cached.ts";
import type { AttentionProblem, Call } from "../problem/problem.ts";
import {
  type Verification,
  VerificationError,
  type VerifiedElement,
  type VerifyChoice,
} from "../problem/verification.ts";
import { integer, randomNumbers } from "../tensor/random.ts";
import { Complaint } from "../tensor/errors.ts";
import { type AnyTensor, isResident } from "../tensor/tensor.ts";
import { viewOperand } from "../tensor/view.ts";
import { type ExactRow, Formula, type Readers, type RowIndex } from "./formula.ts";
import { cacheReader, isCached, type Reader, readerOf } from "./read.ts";

/** A call that has a result. */
export interface Verifiable {
  readonly call: Call;
  /** k and v as they were given: those of a cache are read through it. */
  readonly given: { readonly k: AnyTensor; readonly v: AnyTensor };
  /** The option `sequences` of a call on a cache. */
  readonly sequences: unknown;
  readonly result: AttentionResult<AnyTensor>;
}

/** Largest error that half a unit in the last place of a storage type makes, relative and at least. */
const STORED = {
  f32: [0, 2 ** -150],
  f16: [2 ** -11, 2 ** -25],
  bf16: [2 ** -8, 2 ** -134],
} as const;

const LARGEST = 3.4028234663852886e38;

/** Rows of a call: of each sequence and head, all of its queries. */
function countRows({ spans, queryHeads }: AttentionProblem): number {
  return spans.reduce((sum, { lengthQ }) => sum + lengthQ * queryHeads, 0);
}

/** The n-th row. */
function rowAt({ spans, queryHeads }: AttentionProblem, n: number): RowIndex {
  let batch = 0;
  while (n >= spans[batch]!.lengthQ * queryHeads) n -= spans[batch++]!.lengthQ * queryHeads;
  const { lengthQ } = spans[batch]!;
  return { batch, head: Math.floor(n / lengthQ), query: n % lengthQ };
}

/** Numbers from 0 to below `all`: the first, the last, and such as are drawn. */
function drawn({ rows, seed }: VerifyChoice, all: number): number[] {
  if (rows >= all) return Array.from({ length: all }, (_, n) => n);
  const chosen = new Set<number>([all - 1]);
  if (rows > 1) chosen.add(0);
  const random = randomNumbers(seed ^ seed / 2 ** 32);
  while (chosen.size < rows) chosen.add(integer(random, 0, all - 1));
  return [...chosen].sort((a, b) => a - b);
}

/** All tensors of the call as numbers. */
async function readersOf({ call, given, sequences }: Verifiable): Promise<Readers> {
  const readers: Record<string, Reader> = {};
  for (const view of Object.values(call.views)) {
    const { name } = view, tensor = name === "k" || name === "v" ? given[name] : undefined;
    if (tensor && isCached(tensor)) {
      const all = tensor.shape[0]!;
      const list = parseSequences(sequences, all, new Complaint("attention"));
      readers[name] = await cacheReader(tensor, list);
    } else readers[name] = await readerOf(view);
  }
  return readers;
}

/** How far off an element is, in multiples of what is expected; what is not finite must be so on both sides. */
function errorOf(got: number, want: number, expected: number, dtype: keyof typeof STORED): number {
  const [relative, least] = STORED[dtype];
  if (!(Math.abs(want) * (1 + relative) <= (dtype === "f16" ? 65504 : LARGEST))) {
    return Object.is(got, want) || !Number.isFinite(got) ? 0 : Infinity;
  }
  if (!Number.isFinite(got)) return Infinity;
  const rounding = relative * Math.abs(want) + least;
  const off = Math.max(0, Math.abs(got - want) - rounding);
  return off === 0 ? 0 : off / Math.max(expected, 2 ** -149);
}

/** The largest error of a row that is larger than `worst`. */
function worstOf(
  row: RowIndex,
  { out, lse, errors }: ExactRow,
  got: { out(column: number): number; lse: number; dtype: keyof typeof STORED },
  worst: { error: number; at?: VerifiedElement },
): void {
  const note = (
    result: "out" | "lse",
    column: number,
    got: number,
    expected: number,
    e: number,
  ) => {
    if (e > worst.error) {
      Object.assign(worst, { error: e, at: { result, ...row, column, got, expected } });
    }
  };
  note("lse", 0, got.lse, lse, errorOf(got.lse, lse, errors.lse, "f32"));
  out.forEach((want, column) => {
    const y = got.out(column);
    note("out", column, y, want, errorOf(y, want, errors.out, got.dtype));
  });
}

/** Computes rows again; throws where one is off by more than its bound. */
export async function verify(done: Verifiable, choice: VerifyChoice): Promise<Verification> {
  const { call: { problem }, result } = done, { layout } = problem;
  const complaint = new Complaint("attention"), packed = problem.packed?.queries !== undefined;
  const viewed = (name: "out" | "lse") =>
    viewOperand(name, result[name], layout, complaint, packed);
  const [readers, out, lse] = await Promise.all([
    ...[readersOf(done), readerOf(viewed("out")), readerOf(viewed("lse"))] as const,
  ]);
  const formula = new Formula(problem, readers), dtype = viewed("out").dtype as keyof typeof STORED;
  const rows = drawn(choice, countRows(problem)).map((n) => rowAt(problem, n));
  const worst: { error: number; at?: VerifiedElement } = { error: 0 };
  for (const row of rows) {
    const { batch, head, query } = row, [b, i] = formula.placeOf("q", batch, query);
    const got = { out: (d: number) => out(b, head, i, d), lse: lse(b, head, i, 0), dtype };
    worstOf(row, formula.compute(row), got, worst);
  }
  const found: Verification = { rows: rows.length, bound: choice.bound, ...worst };
  if (found.error > choice.bound) {
    for (const name of ["out", "lse"] as const) {
      const tensor = result[name];
      if (isResident(tensor) && done.call.into?.[name] === undefined) tensor.dispose();
    }
    throw new VerificationError(found);
  }
  return found;
}
