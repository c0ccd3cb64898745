// Rows of a call computed again in float64 and compared. Loaded when it is first asked for: programs that verify nothing
// do not carry it.
import type { AttentionGradients, AttentionResult } from "../problem/call_options.ts";
import { parseSequences } from "../problem/cached.ts";
import { type Call, CALL_NAMES } from "../problem/problem.ts";
import {
  type GradientVerification,
  type Verification,
  VerificationError,
  type VerifyChoice,
} from "../problem/verification.ts";
import { Complaint } from "../tensor/errors.ts";
import { gradientNames, type OperandName, OPERANDS, packedSide } from "../tensor/operands.ts";
import { type AnyTensor, isResident } from "../tensor/tensor.ts";
import { viewOperand } from "../tensor/view.ts";
import { type Stored, Worst } from "./compare.ts";
import { computeRow } from "./formula.ts";
import { keyGradients, queryGradient } from "./gradients.ts";
import { Pairs, type Readers } from "./pairs.ts";
import { cacheReader, isCached, type Reader, readerOf } from "./read.ts";
import { type DrawnRow, keyRows, queryRows } from "./sample.ts";

/** A call that has a result. */
export interface Verifiable<R> {
  readonly call: Call;
  readonly result: R;
}

/** A forward call that has one. */
export interface VerifiableForward extends Verifiable<AttentionResult<AnyTensor>> {
  /** k and v as they were given: those of a cache are read through it. */
  readonly given: { readonly k: AnyTensor; readonly v: AnyTensor };
  /** The option `sequences` of a call on a cache. */
  readonly sequences: unknown;
}

/** All tensors of a call as numbers. */
async function readersOf(
  call: Call,
  given: { readonly k?: AnyTensor; readonly v?: AnyTensor } = {},
  sequences?: unknown,
): Promise<Readers> {
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

/** A result as numbers. */
async function resultOf(
  { problem }: Call,
  name: OperandName,
  tensor: AnyTensor,
): Promise<{ read: Reader; dtype: Stored }> {
  const complaint = new Complaint(CALL_NAMES[problem.pass]);
  const packed = packedSide(name, problem) !== undefined;
  const view = viewOperand(name, tensor, problem.layout, complaint, packed);
  return { read: await readerOf(view), dtype: view.dtype as Stored };
}

/** Disposes of results that nobody will see. */
function disposeOf({ call, result }: Verifiable<object>): void {
  const named = { ...result, ...(result as AttentionResult).stats };
  for (const [name, tensor] of Object.entries(named) as [OperandName, AnyTensor][]) {
    const own = OPERANDS[name] !== undefined && call.into?.[name] === undefined;
    if (own && isResident(tensor)) tensor.dispose();
  }
}

/** What was found, where that is allowed. */
function allowed<V extends Verification>(found: V): V {
  if (found.error > found.bound) throw new VerificationError(found);
  return found;
}

async function verifyRows(
  { call, given, sequences, result }: VerifiableForward,
  choice: VerifyChoice,
): Promise<Verification> {
  const { problem } = call, worst = new Worst();
  const [readers, out, lse] = await Promise.all([
    readersOf(call, given, sequences),
    resultOf(call, "out", result.out),
    resultOf(call, "lse", result.lse),
  ]);
  const pairs = new Pairs(problem, readers), rows = queryRows(choice, problem);
  for (const { batch, head, row: query } of rows) {
    const place = { batch, head, query }, [b, i] = pairs.placeOf("q", batch, query);
    const { out: values, lse: one, errors } = computeRow(pairs, place);
    const wanted = { values: Float64Array.of(one), error: errors.lse };
    worst.compare({ result: "lse", ...place }, wanted, () => lse.read(b, head, i, 0), "f32");
    const read = (column: number) => out.read(b, head, i, column);
    worst.compare({ result: "out", ...place }, { values, error: errors.out }, read, out.dtype);
  }
  return allowed({ rows: rows.length, bound: choice.bound, ...worst.found });
}

/** Keys by their sequence and head, whose gradients are sums over the same queries. */
function byHead(rows: readonly DrawnRow[]): DrawnRow[][] {
  const groups = new Map<string, DrawnRow[]>();
  for (const row of rows) {
    const name = `${row.batch} ${row.head}`, group = groups.get(name);
    if (group) group.push(row);
    else groups.set(name, [row]);
  }
  return [...groups.values()];
}

async function verifyGradientRows(
  { call, result }: Verifiable<AttentionGradients<AnyTensor, AnyTensor, AnyTensor>>,
  choice: VerifyChoice,
): Promise<GradientVerification> {
  const { problem } = call, worst = new Worst();
  const names = ["dq", "dk", "dv"] as const;
  const [readers, ...results] = await Promise.all([
    readersOf(call),
    ...names.map((name) => resultOf(call, name, result[name])),
  ]);
  const [dq, dk, dv] = results as [typeof results[0], typeof results[0], typeof results[0]];
  const pairs = new Pairs(problem, readers);
  const queries = queryRows(choice, problem), keys = keyRows(choice, problem);
  for (const { batch, head, row: query } of queries) {
    const place = { batch, head, query }, [b, i] = pairs.placeOf("q", batch, query);
    const read = (column: number) => dq.read(b, head, i, column);
    worst.compare({ result: "dq", ...place }, queryGradient(pairs, place), read, dq.dtype);
  }
  for (const rows of byHead(keys)) {
    const { batch, head } = rows[0]!;
    for (const found of keyGradients(pairs, batch, head, rows.map(({ row }) => row))) {
      const { key } = found, [b, j] = pairs.placeOf("k", batch, key);
      for (const [name, { read, dtype }] of [["dk", dk], ["dv", dv]] as const) {
        const got = (column: number) => read(b, head, j, column);
        worst.compare({ result: name, batch, head, key }, found[name], got, dtype);
      }
    }
  }
  return allowed({
    rows: queries.length + 2 * keys.length,
    bound: choice.bound,
    ...worst.found,
    checked: { dq: queries.length, dk: keys.length, dv: keys.length },
    unchecked: gradientNames(problem).filter((name) =>
      !(names as readonly string[]).includes(name)
    ),
  });
}

async function disposing<V>(done: Verifiable<object>, found: Promise<V>): Promise<V> {
  try {
    return await found;
  } catch (error) {
    disposeOf(done);
    throw error;
  }
}

/** Computes rows of `out` and `lse` again; throws where one is off by more than its bound. */
export async function verify(
  done: VerifiableForward,
  choice: VerifyChoice,
): Promise<Verification> {
  return await disposing(done, verifyRows(done, choice));
}

/** Computes rows of dq, dk and dv again; throws likewise. */
export async function verifyGradients(
  done: Verifiable<AttentionGradients<AnyTensor, AnyTensor, AnyTensor>>,
  choice: VerifyChoice,
): Promise<GradientVerification> {
  return await disposing(done, verifyGradientRows(done, choice));
}
