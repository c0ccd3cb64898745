/**
 * Calls that must be refused. The good call that they are made from has q [2, 5, 4, 8], k [2, 7, 2, 8], v [2, 7, 2, 6]
 * in layout bshd; backward adds out and dOut [2, 5, 4, 6] and lse [2, 4, 5].
 */

import {
  type AttentionOptions,
  blockMaskFromLists,
  captured,
  createBlockMask,
  maskMod,
  masks,
  scoreMod,
} from "../mod.ts";
import { plainTensor } from "./inputs.ts";

/** A call, with what its error must be and say. */
export interface BadCall {
  readonly about: string;
  /** What replaces the good operands. */
  readonly operands?: Readonly<Record<string, unknown>>;
  readonly options?: AttentionOptions;
  readonly error: typeof TypeError | typeof RangeError;
  /** Each must occur: the argument, its value, what was wanted. */
  readonly wants: readonly RegExp[];
}

const tensor = (...shape: number[]) => plainTensor(1, shape);
const bytes = (...shape: number[]) => ({
  data: new Uint8Array(shape.reduce((a, b) => a * b, 1)),
  shape,
});

/** Options that the type system would not let through. */
function wrong(options: object): AttentionOptions {
  return options as unknown as AttentionOptions;
}

/** A block mask of other lengths, perhaps. */
function blockMask(lengthQ: number, lengthK: number) {
  return createBlockMask(masks.causal(), { lengthQ, lengthK, blockSize: 2 });
}

/** A list with one row of blocks. */
function listed(...columns: number[]) {
  return { offsets: Int32Array.of(0, columns.length), columns: Int32Array.from(columns) };
}

function detached(): object {
  const data = new Float32Array(2 * 7 * 2 * 8);
  data.buffer.transfer();
  return { data, shape: [2, 7, 2, 8] };
}

const operandCalls: readonly BadCall[] = [
  {
    about: "k with another head dim than q",
    operands: { k: tensor(2, 7, 2, 9) },
    ...{ error: RangeError, wants: [/\bk\b/, /headDim/, /\b9\b/, /\bq\b.*\b8\b/] },
  },
  {
    about: "k of another batch",
    operands: { k: tensor(3, 7, 2, 8), v: tensor(3, 7, 2, 6) },
    ...{ error: RangeError, wants: [/\bk\b/, /batch/, /\b3\b/, /\bq\b.*\b2\b/] },
  },
  {
    about: "v with another length than k",
    operands: { v: tensor(2, 6, 2, 6) },
    ...{ error: RangeError, wants: [/\bv\b/, /length/i, /\b6\b/, /\bk\b.*\b7\b/] },
  },
  {
    about: "v with another number of heads than k",
    operands: { v: tensor(2, 7, 1, 6) },
    ...{ error: RangeError, wants: [/\bv\b/, /heads/i, /\b1\b/, /\bk\b.*\b2\b/] },
  },
  {
    about: "query heads that are no multiple of kv heads",
    operands: { k: tensor(2, 7, 3, 8), v: tensor(2, 7, 3, 6) },
    ...{ error: RangeError, wants: [/\bq\b/, /heads/i, /\b4\b/, /multiple/, /\b3\b/] },
  },
  {
    about: "kv heads of 0",
    operands: { k: tensor(2, 7, 0, 8), v: tensor(2, 7, 0, 6) },
    ...{ error: RangeError, wants: [/\b(k|q)\b/, /heads/i, /\b0\b/] },
  },
  {
    about: "a head dim of 0",
    operands: { q: tensor(2, 5, 4, 0), k: tensor(2, 7, 2, 0) },
    ...{ error: RangeError, wants: [/\bq\b/, /headDim/, /\b0\b/, /1/] },
  },
  {
    about: "values without columns",
    operands: { v: tensor(2, 7, 2, 0) },
    ...{ error: RangeError, wants: [/\bv\b/, /valueDim/, /\b0\b/, /1/] },
  },
  {
    about: "more sequences than can be counted, without heads",
    operands: Object.fromEntries(
      ["q", "k", "v"].map((name) => [name, tensor(2 ** 40, 7, 0, 8)]),
    ),
    ...{ error: RangeError, wants: [/batch 1099511627776/, /at most 16777216/] },
  },
  {
    about: "q of rank 3",
    operands: { q: tensor(5, 4, 8) },
    ...{ error: TypeError, wants: [/\bq\b/, /rank|shape/, /3|5, 4, 8/, /4/] },
  },
  {
    about: "a shape that is no whole number",
    operands: { q: { data: new Float32Array(320), shape: [2, 2.5, 4, 8] } },
    ...{ error: RangeError, wants: [/\bq\b/, /shape/, /2\.5/, /integer|whole/] },
  },
  {
    about: "a negative size",
    operands: { v: { data: new Float32Array(320), shape: [2, -7, 2, 6] } },
    ...{ error: RangeError, wants: [/\bv\b/, /shape/, /-7/] },
  },
  {
    about: "a buffer that is too short",
    operands: { k: { data: new Float32Array(200), shape: [2, 7, 2, 8] } },
    ...{ error: RangeError, wants: [/\bk\b/, /\b200\b/, /\b224\b/] },
  },
  {
    about: "a buffer that is too short for its strides",
    operands: {
      k: { data: new Float32Array(224), shape: [2, 7, 2, 8], strides: [200, 16, 8, 1] },
    },
    ...{ error: RangeError, wants: [/\bk\b/, /\b224\b/, /\b312\b/] },
  },
  {
    about: "a detached buffer",
    operands: { k: detached() },
    ...{ error: TypeError, wants: [/\bk\b/, /detached/] },
  },
  {
    about: "an innermost stride other than 1",
    operands: {
      q: { data: new Float32Array(640), shape: [2, 5, 4, 8], strides: [320, 64, 16, 2] },
    },
    ...{ error: RangeError, wants: [/\bq\b/, /stride/, /\b2\b/, /\b1\b/] },
  },
  {
    about: "strides of the wrong rank",
    operands: { q: { data: new Float32Array(320), shape: [2, 5, 4, 8], strides: [32, 8, 1] } },
    ...{ error: RangeError, wants: [/\bq\b/, /strides/, /3|32, 8, 1/, /4/] },
  },
  {
    about: "a negative stride",
    operands: {
      q: { data: new Float32Array(320), shape: [2, 5, 4, 8], strides: [160, 32, -8, 1] },
    },
    ...{ error: RangeError, wants: [/\bq\b/, /stride/, /-8/] },
  },
  {
    about: "an array of a type that is no tensor's",
    operands: { q: { data: new Float64Array(320), shape: [2, 5, 4, 8] } },
    ...{ error: TypeError, wants: [/\bq\b/, /Float64Array/, /Float32Array/] },
  },
  {
    about: "an array that is no typed array",
    operands: { q: [1, 2, 3] },
    ...{ error: TypeError, wants: [/\bq\b/, /shape|data|tensor/i] },
  },
  {
    about: "a missing operand",
    operands: { k: undefined },
    ...{ error: TypeError, wants: [/\bk\b/, /undefined/, /tensor|shape/] },
  },
  {
    about: "16-bit data without dtype",
    operands: { q: { data: new Uint16Array(320), shape: [2, 5, 4, 8] } },
    ...{ error: TypeError, wants: [/\bq\b/, /dtype/, /f16/, /bf16/] },
  },
  {
    about: "a dtype that does not fit the array",
    operands: { q: { data: new Float32Array(320), shape: [2, 5, 4, 8], dtype: "f16" } },
    ...{ error: TypeError, wants: [/\bq\b/, /dtype/, /f16/, /Float32Array/] },
  },
  {
    about: "an unknown dtype",
    operands: { q: { data: new Float32Array(320), shape: [2, 5, 4, 8], dtype: "f8" } },
    ...{ error: TypeError, wants: [/\bq\b/, /dtype/, /f8/] },
  },
];

/** A view of four values as a tensor of any size. */
const repeated = (batch: number, length: number) => ({
  ...{ data: new Float32Array(4), shape: [batch, length, 2, 4], strides: [0, 0, 0, 1] },
});

/** Sizes that nothing holds: refused before anything is planned. */
const absurdCalls: readonly BadCall[] = [
  {
    about: "more queries than an array could hold",
    operands: { q: repeated(1, 2 ** 31), k: repeated(1, 2), v: repeated(1, 2) },
    ...{ error: RangeError, wants: [/68719476736 bytes/, /lengthQ 2147483648/] },
  },
  {
    about: "more keys than an array could hold",
    operands: { q: repeated(1, 2), k: repeated(1, 2 ** 33), v: repeated(1, 2 ** 33) },
    ...{ error: RangeError, wants: [/274877906944 bytes/, /lengthK 8589934592/] },
  },
  {
    about: "more keys than are counted to",
    operands: { q: repeated(1, 2), k: repeated(1, 2 ** 30), v: repeated(1, 2 ** 30) },
    ...{ error: RangeError, wants: [/lengthK/, /1073741824/] },
  },
  {
    about: "more sequences than are counted to",
    operands: { q: repeated(2 ** 25, 1), k: repeated(2 ** 25, 1), v: repeated(2 ** 25, 1) },
    ...{ error: RangeError, wants: [/batch/, /33554432/] },
  },
];

/** Tables of a call whose head dim is 8. */
const tables = (positions: number, columns = 4) => ({
  cos: tensor(positions, columns),
  sin: tensor(positions, columns),
});

const rotaryCalls: readonly BadCall[] = [
  {
    about: "a rotary that is a boolean",
    options: wrong({ rotary: true }),
    ...{ error: TypeError, wants: [/rotary is true/, /base\?.*positionsQ\?/] },
  },
  {
    about: "a rotary that is null",
    options: wrong({ rotary: null }),
    ...{ error: TypeError, wants: [/rotary is null/, /base/] },
  },
  {
    about: "an unknown key of rotary",
    options: wrong({ rotary: { theta: 500 } }),
    ...{ error: TypeError, wants: [/rotary/, /"theta"/, /base, dims, interleaved/] },
  },
  {
    about: "another library's name of rotary",
    options: wrong({ rope_theta: 500 }),
    ...{ error: TypeError, wants: [/"rope_theta"/, /here: rotary\b/] },
  },
  ...[3, 10, 0, -2, 2.5, NaN].map((dims): BadCall => ({
    about: `rotary.dims of ${dims}`,
    options: { rotary: { dims } },
    ...{ error: RangeError, wants: [/rotary\.dims/, RegExp(`is ${dims} `), /even.*headDim = 8/] },
  })),
  {
    about: "rotary.dims that are a text",
    options: wrong({ rotary: { dims: "4" } }),
    ...{ error: TypeError, wants: [/rotary\.dims/, /"4"/, /even/] },
  },
  {
    about: "an odd head dim without rotary.dims",
    operands: { q: tensor(2, 5, 4, 9), k: tensor(2, 7, 2, 9) },
    options: { rotary: {} },
    ...{ error: RangeError, wants: [/rotary\.dims/, /headDim 9/, /even/] },
  },
  ...[0, -10000, NaN, Infinity].map((base): BadCall => ({
    about: `a rotary.base of ${base}`,
    options: { rotary: { base } },
    ...{ error: RangeError, wants: [/rotary\.base/, RegExp(`is ${base} `), /positive/] },
  })),
  {
    about: "a rotary.base that is a text",
    options: wrong({ rotary: { base: "10000" } }),
    ...{ error: TypeError, wants: [/rotary\.base/, /"10000"/, /number/] },
  },
  ...["interleaved", "keys"].map((name): BadCall => ({
    about: `a rotary.${name} that is a number`,
    options: wrong({ rotary: { [name]: 1 } }),
    ...{ error: TypeError, wants: [RegExp(`rotary\\.${name} is 1`), /boolean/] },
  })),
  {
    about: "positions for fewer queries",
    options: { rotary: { positionsQ: new Int32Array(4) } },
    ...{ error: RangeError, wants: [/rotary\.positionsQ/, /\b4\b/, /\b5\b/, /\b10\b/] },
  },
  {
    about: "positions for more keys",
    options: { rotary: { positionsK: new Int32Array(15) } },
    ...{ error: RangeError, wants: [/rotary\.positionsK/, /\b15\b/, /\b7\b/, /\b14\b/] },
  },
  ...[[0, 1, 2, 3, 4], new Float32Array(5), 7, "0"].map((positions, n): BadCall => ({
    about: `positions of a wrong type (${n})`,
    options: wrong({ rotary: { positionsQ: positions } }),
    ...{ error: TypeError, wants: [/rotary\.positionsQ is/, /Int32Array of 5/] },
  })),
  {
    about: "a tensor of floats as positions",
    options: wrong({ rotary: { positionsQ: tensor(5) } }),
    ...{ error: TypeError, wants: [/rotary\.positionsQ/, /Float32Array/, /Int32Array/] },
  },
  {
    about: "a tensor of positions with too few elements",
    options: { rotary: { positionsQ: { data: new Int32Array(9), shape: [2, 5] } } },
    ...{ error: RangeError, wants: [/rotary\.positionsQ/, /\b9\b/, /\b10\b/] },
  },
  {
    about: "cosines without sines",
    options: { rotary: { cos: tensor(9, 4) } },
    ...{ error: TypeError, wants: [/rotary\.sin is undefined/, /rotary\.cos/] },
  },
  {
    about: "sines without cosines",
    options: { rotary: { sin: tensor(9, 4) } },
    ...{ error: TypeError, wants: [/rotary\.cos is undefined/, /rotary\.sin/] },
  },
  {
    about: "tables with a column for each dim",
    options: { rotary: tables(9, 8) },
    ...{ error: RangeError, wants: [/rotary\.cos/, /9, 8/, /\[positions, 4\]/] },
  },
  {
    about: "tables for other dims",
    options: { rotary: { ...tables(9), dims: 4 } },
    ...{ error: RangeError, wants: [/rotary\.cos/, /9, 4/, /\[positions, 2\]/] },
  },
  {
    about: "a table of rank 1",
    options: { rotary: { cos: tensor(36), sin: tensor(36) } },
    ...{ error: RangeError, wants: [/rotary\.cos/, /\[36\]/, /\[positions, 4\]/] },
  },
  {
    about: "a bare array that is no table",
    options: { rotary: { cos: new Float32Array(30), sin: new Float32Array(30) } },
    ...{ error: RangeError, wants: [/rotary\.cos/, /\b30\b/, /\[positions, 4\]/] },
  },
  {
    about: "a table with too few elements",
    options: {
      rotary: { cos: { data: new Float32Array(35), shape: [9, 4] }, sin: tensor(9, 4) },
    },
    ...{ error: RangeError, wants: [/rotary\.cos/, /\b35\b/, /\b36\b/] },
  },
  {
    about: "a table that is a number",
    options: wrong({ rotary: { cos: 1, sin: 0 } }),
    ...{ error: TypeError, wants: [/rotary\.cos is 1/, /tensor/] },
  },
  {
    about: "a table of bytes",
    options: wrong({ rotary: { cos: bytes(9, 4), sin: bytes(9, 4) } }),
    ...{ error: TypeError, wants: [/rotary\.cos/, /Uint8Array/] },
  },
  {
    about: "tables of different lengths",
    options: { rotary: { cos: tensor(9, 4), sin: tensor(8, 4) } },
    ...{ error: RangeError, wants: [/rotary\.sin/, /\b8\b/, /rotary\.cos/, /\b9\b/] },
  },
  {
    about: "tables that end before the keys do",
    options: { rotary: tables(6) },
    ...{ error: RangeError, wants: [/\bq\b|\bk\b/, /position 6/, /0 to 5/, /base/] },
  },
  {
    about: "a position behind the last of the tables",
    options: { rotary: { ...tables(9), positionsQ: Int32Array.of(0, 1, 2, 9, 4) } },
    ...{ error: RangeError, wants: [/rotary\.positionsQ\[3\]/, /position 9/, /0 to 8/] },
  },
  {
    about: "a negative position with tables",
    options: { rotary: { ...tables(9), positionsK: Int32Array.of(0, -1, 2, 3, 4, 5, 6) } },
    ...{ error: RangeError, wants: [/rotary\.positionsK\[1\]/, /position -1/, /0 to 8/] },
  },
  {
    about: "queries that stand before the first position of tables",
    options: { rotary: tables(9), keyLengths: Int32Array.of(7, 3) },
    ...{ error: RangeError, wants: [/row 0 of q in sequence 1/, /position -2/, /0 to 8/] },
  },
];

const optionCalls: readonly BadCall[] = [
  ...rotaryCalls,
  {
    about: "a scale of NaN",
    options: { softmaxScale: NaN },
    ...{ error: RangeError, wants: [/softmaxScale/, /NaN/, /finite|number/] },
  },
  {
    about: "a negative scale",
    options: { softmaxScale: -0.5 },
    ...{ error: RangeError, wants: [/softmaxScale/, /-0\.5/] },
  },
  {
    about: "a scale that is a text",
    options: wrong({ softmaxScale: "0.5" }),
    ...{ error: TypeError, wants: [/softmaxScale/, /0\.5|string/, /number/] },
  },
  {
    about: "a softcap of NaN",
    options: { softcap: NaN },
    ...{ error: RangeError, wants: [/softcap/, /NaN/] },
  },
  {
    about: "a negative softcap",
    options: { softcap: -3 },
    ...{ error: RangeError, wants: [/softcap/, /-3/] },
  },
  {
    about: "an unknown layout",
    options: wrong({ layout: "sbhd" }),
    ...{ error: TypeError, wants: [/layout/, /sbhd/, /bshd/, /bhsd/] },
  },
  {
    about: "an unknown option",
    options: wrong({ casual: true }),
    ...{ error: TypeError, wants: [/casual/, /option/] },
  },
  {
    about: "an unknown causal form",
    options: wrong({ causal: "top-right" }),
    ...{ error: TypeError, wants: [/causal/, /top-right/, /bottom-right/] },
  },
  {
    about: "a causal offset that is no whole number",
    options: { causal: { offset: 1.5 } },
    ...{ error: RangeError, wants: [/causal/, /1\.5/, /integer|whole/] },
  },
  {
    about: "causal offsets for another batch",
    options: { causal: { offset: Int32Array.of(1, 2, 3) } },
    ...{ error: RangeError, wants: [/causal/, /\b3\b/, /\b2\b/] },
  },
  {
    about: "a negative window",
    options: { window: { left: -1 } },
    ...{ error: RangeError, wants: [/window/, /left/, /-1/] },
  },
  {
    about: "a window that is a number",
    options: wrong({ window: 128 }),
    ...{ error: TypeError, wants: [/window/, /128|number/, /left/] },
  },
  {
    about: "an unknown side of the window",
    options: wrong({ window: { top: 3 } }),
    ...{ error: TypeError, wants: [/window/, /top/, /left/] },
  },
  {
    about: "statistics that are no array",
    options: wrong({ stats: "entropy" }),
    ...{ error: TypeError, wants: [/stats is "entropy"/, /array/, /maxProbability/] },
  },
  {
    about: "an unknown statistic",
    options: wrong({ stats: ["entropy", "variance"] }),
    ...{ error: TypeError, wants: [/stats\[1\] is "variance"/, /expectedKey/] },
  },
  {
    about: "a statistic twice",
    options: { stats: ["entropy", "expectedKey", "entropy"] },
    ...{ error: TypeError, wants: [/stats has "entropy" twice/, /once/] },
  },
  {
    about: "a dropout that is a number",
    options: wrong({ dropout: 0.1 }),
    ...{ error: TypeError, wants: [/dropout is 0\.1/, /probability, seed/] },
  },
  {
    about: "an unknown key of dropout",
    options: wrong({ dropout: { probability: 0.1, seed: 1, p: 2 } }),
    ...{ error: TypeError, wants: [/dropout/, /"p"/, /probability or seed/] },
  },
  ...[1, -0.1, NaN, Infinity].map((probability): BadCall => ({
    about: `a dropout probability of ${probability}`,
    options: { dropout: { probability, seed: 1 } },
    ...{
      error: RangeError,
      wants: [/dropout\.probability/, RegExp(`is ${probability} `), /below 1/],
    },
  })),
  {
    about: "a dropout probability that is a text",
    options: wrong({ dropout: { probability: "0.1", seed: 1 } }),
    ...{ error: TypeError, wants: [/dropout\.probability/, /"0\.1"/, /number/] },
  },
  ...[-1, 0.5, 2 ** 53, NaN, -1n, 2n ** 64n].map((seed) => ({
    seed,
    named: `${seed}${typeof seed === "bigint" ? "n" : ""}`,
  })).map(({ seed, named }): BadCall => ({
    about: `a dropout seed of ${named}`,
    options: { dropout: { probability: 0, seed } },
    ...{
      error: RangeError,
      wants: [/dropout\.seed/, RegExp(`is ${named} `), /safe integer.*2\^64/],
    },
  })),
  {
    about: "a missing dropout seed",
    options: wrong({ dropout: { probability: 0.1 } }),
    ...{ error: TypeError, wants: [/dropout\.seed/, /undefined/, /bigint/] },
  },
  {
    about: "PyTorch's name of dropout",
    options: wrong({ dropout_p: 0.1 }),
    ...{ error: TypeError, wants: [/"dropout_p"/, /here: dropout\b/] },
  },
  {
    about: "key lengths for another batch",
    options: { keyLengths: Int32Array.of(1, 2, 3) },
    ...{ error: RangeError, wants: [/keyLengths/, /\b3\b/, /\b2\b/] },
  },
  {
    about: "a key length beyond the keys",
    options: { keyLengths: Int32Array.of(7, 8) },
    ...{ error: RangeError, wants: [/keyLengths/, /\b8\b/, /\b7\b/] },
  },
  {
    about: "a negative key length",
    options: { keyLengths: Int32Array.of(7, -1) },
    ...{ error: RangeError, wants: [/keyLengths/, /-1/, /\b0\b/] },
  },
  {
    about: "key lengths that are no Int32Array",
    options: wrong({ keyLengths: new Float32Array(2) }),
    ...{ error: TypeError, wants: [/keyLengths/, /Float32Array/, /Int32Array/] },
  },
  {
    about: "a mask that does not broadcast",
    options: { mask: bytes(2, 1, 5, 6) },
    ...{ error: RangeError, wants: [/mask/, /2, 1, 5, 6/, /2, 4, 5, 7/] },
  },
  {
    about: "a mask of rank 5",
    options: { mask: bytes(1, 1, 1, 5, 7) },
    ...{ error: TypeError, wants: [/mask/, /rank|shape/, /5/, /4/] },
  },
  {
    about: "a mask that is not boolean",
    options: wrong({ mask: tensor(5, 7) }),
    ...{ error: TypeError, wants: [/mask/, /Float32Array/, /Uint8Array/] },
  },
  {
    about: "a mask with too few elements",
    options: { mask: { data: new Uint8Array(30), shape: [5, 7] } },
    ...{ error: RangeError, wants: [/mask/, /\b30\b/, /\b35\b/] },
  },
  {
    about: "a bias that does not broadcast",
    options: { bias: tensor(3, 5, 7) },
    ...{ error: RangeError, wants: [/bias/, /3, 5, 7/, /2, 4, 5, 7/] },
  },
  {
    about: "a bias of the wrong type",
    options: wrong({ bias: bytes(5, 7) }),
    ...{ error: TypeError, wants: [/bias/, /Uint8Array/, /Float32Array/] },
  },
  {
    about: "slopes for another number of heads",
    options: { alibiSlopes: tensor(3) },
    ...{ error: RangeError, wants: [/alibiSlopes/, /\[3\]/, /\[4\]/, /queryHeads/] },
  },
  {
    about: "slopes of rank 3",
    options: { alibiSlopes: tensor(1, 2, 4) },
    ...{ error: RangeError, wants: [/alibiSlopes/, /1, 2, 4/, /\[2, 4\]/] },
  },
  {
    about: "slopes that are a number",
    options: wrong({ alibiSlopes: 0.5 }),
    ...{ error: TypeError, wants: [/alibiSlopes/, /0\.5/, /tensor/] },
  },
  {
    about: "slopes in 16 bits",
    options: { alibiSlopes: { data: new Uint16Array(4), shape: [4], dtype: "f16" } },
    ...{ error: TypeError, wants: [/alibiSlopes/, /f16/, /f32/] },
  },
  {
    about: "a sink for each sequence and head",
    options: { sink: tensor(2, 4) },
    ...{ error: RangeError, wants: [/sink/, /2, 4/, /\[4\]/] },
  },
  {
    about: "a sink with too few elements",
    options: { sink: { data: new Float32Array(3), shape: [4] } },
    ...{ error: RangeError, wants: [/sink/, /\b3\b/, /\b4\b/] },
  },
  {
    about: "a scoreMod that is a bare function",
    options: wrong({ scoreMod: (score: number) => score }),
    ...{ error: TypeError, wants: [/scoreMod/, /a function/, /scoreMod\(\)/] },
  },
  {
    about: "a mask for a scoreMod",
    options: wrong({ scoreMod: masks.causal() }),
    ...{ error: TypeError, wants: [/scoreMod/, /scoreMod\(\)/] },
  },
  {
    about: "a maskMod that is a mask of bytes",
    options: wrong({ maskMod: bytes(1, 1, 5, 7) }),
    ...{ error: TypeError, wants: [/maskMod/, /maskMod\(\)/, /masks/] },
  },
  {
    about: "a captured array that is shorter than the keys",
    options: {
      scoreMod: scoreMod(({ score, key }) => score.add(captured(new Float32Array(6), [6]).at(key))),
    },
    ...{ error: RangeError, wants: [/axis 0/, /\[6\]/, /0 to 6/, /0 to 5/, /min/] },
  },
  ...([["head", 4], ["kvHead", 2], ["batch", 2]] as const).map(([name, n]): BadCall => ({
    about: `a captured array that is too short for the last ${name}`,
    options: {
      scoreMod: scoreMod((symbols) =>
        symbols.score.add(captured(new Float32Array(n - 1), [n - 1]).at(symbols[name]))
      ),
    },
    error: RangeError,
    wants: [/axis 0/, new RegExp(`${n - 1}.* 0 to ${n - 2}`)],
  })),
  {
    about: "documents that are too few",
    options: { maskMod: masks.documents(new Int32Array(5), new Int32Array(6)) },
    ...{ error: RangeError, wants: [/axis 0/, /\[6\]/, /0 to 6/, /0 to 5/] },
  },
  {
    about: "a mask function for a blockMask",
    options: wrong({ blockMask: masks.causal() }),
    ...{ error: TypeError, wants: [/blockMask/, /createBlockMask/, /blockMaskFromLists/] },
  },
  {
    about: "a blockMask for a maskMod",
    options: wrong({ maskMod: blockMask(5, 7) }),
    ...{ error: TypeError, wants: [/maskMod/, /maskMod\(\)/] },
  },
  {
    about: "a blockMask beside a maskMod",
    options: { maskMod: masks.causal(), blockMask: blockMask(5, 7) },
    ...{ error: TypeError, wants: [/blockMask/, /maskMod/, /and/] },
  },
  {
    about: "a blockMask of other queries",
    options: { blockMask: blockMask(6, 7) },
    ...{ error: RangeError, wants: [/blockMask/, /lengthQ 6/, /lengthQ 5/] },
  },
  {
    about: "a blockMask of other keys",
    options: { blockMask: blockMask(5, 6) },
    ...{ error: RangeError, wants: [/blockMask/, /lengthK 6/, /lengthK 7/] },
  },
  {
    about: "a blockMask of the keys that one sequence has",
    options: { blockMask: blockMask(5, 6), keyLengths: [5, 6] },
    ...{ error: RangeError, wants: [/blockMask/, /lengthK 6/, /lengthK 7/] },
  },
  {
    about: "a blockMask of fewer heads",
    options: {
      blockMask: createBlockMask(maskMod(({ head, key }) => key.gt(head)), {
        ...{ lengthQ: 5, lengthK: 7, queryHeads: 3 },
      }),
    },
    ...{ error: RangeError, wants: [/blockMask/, /queryHeads 3/, /queryHeads 4/] },
  },
  {
    about: "a blockMask of another batch",
    options: {
      blockMask: createBlockMask(maskMod(({ batch, key }) => key.gt(batch)), {
        ...{ lengthQ: 5, lengthK: 7 },
      }),
    },
    ...{ error: RangeError, wants: [/blockMask/, /batch 1/, /batch 2/, /createBlockMask/] },
  },
  {
    about: "a blockMask of lists whose function leaves its array",
    options: {
      blockMask: blockMaskFromLists({
        ...{ lengthQ: 5, lengthK: 7, blockSize: 8, full: listed(), partial: listed(0) },
        maskMod: masks.documents(new Int32Array(7), new Int32Array(6)),
      }),
    },
    ...{ error: RangeError, wants: [/axis 0/, /\[6\]/, /0 to 6/, /0 to 5/] },
  },
  {
    about: "a scale that float32 does not hold",
    options: { softmaxScale: 1e39 },
    ...{ error: RangeError, wants: [/softmaxScale/, /1e\+39/, /float32/] },
  },
  {
    about: "a scale that float32 rounds to 0",
    options: { softmaxScale: 1e-300 },
    ...{ error: RangeError, wants: [/softmaxScale/, /1e-300/, /float32/] },
  },
  {
    about: "a softcap that float32 does not hold",
    options: { softcap: 1e39 },
    ...{ error: RangeError, wants: [/softcap/, /1e\+39/, /float32/] },
  },
  {
    about: "a name of PyTorch",
    options: wrong({ isCausal: true }),
    ...{ error: TypeError, wants: [/isCausal/, /here: causal/] },
  },
  {
    about: "a name that two options share elsewhere",
    options: wrong({ attn_mask: bytes(5, 7) }),
    ...{ error: TypeError, wants: [/attn_mask/, /here: bias or mask/] },
  },
  {
    about: "a causal form with an unknown key",
    options: wrong({ causal: { ofset: 1 } }),
    ...{ error: TypeError, wants: [/causal/, /ofset/, /offset/] },
  },
  {
    about: "key lengths that are no whole numbers",
    options: { keyLengths: [3, 2.5] },
    ...{ error: RangeError, wants: [/keyLengths\[1\]/, /2\.5/, /integer/] },
  },
  {
    about: "one key length that is too long",
    options: { keyLengths: 8 },
    ...{ error: RangeError, wants: [/keyLengths/, /\b8\b/, /\b7\b/] },
  },
  {
    about: "a signal that is none",
    options: wrong({ signal: {} }),
    ...{ error: TypeError, wants: [/signal/, /no keys/, /AbortSignal/] },
  },
  {
    about: "options that are null",
    options: null as unknown as AttentionOptions,
    ...{ error: TypeError, wants: [/options/, /null/, /object/] },
  },
  {
    about: "an engine that is none",
    options: wrong({ engine: "wasm" }),
    ...{ error: TypeError, wants: [/engine/, /wasm|string/] },
  },
];

/** Bad calls of attention(). */
export const badForwardCalls: readonly BadCall[] = [
  ...operandCalls,
  ...absurdCalls,
  ...optionCalls,
  {
    about: "a dEntropy of a forward call",
    options: wrong({ dEntropy: tensor(2, 4, 5) }),
    ...{ error: TypeError, wants: [/dEntropy/, /unknown/] },
  },
  {
    about: "shapes that fit in the other layout",
    operands: { q: tensor(2, 4, 5, 8), k: tensor(2, 2, 7, 8), v: tensor(2, 2, 7, 6) },
    ...{ error: RangeError, wants: [/5 queryHeads/, /7 kvHeads/, /layout: "bhsd"/] },
  },
];

/** Bad calls of attentionBackward(), beyond those that both share. */
export const badBackwardCalls: readonly BadCall[] = [
  ...operandCalls,
  ...optionCalls,
  {
    about: "dOut of another length than q",
    operands: { dOut: tensor(2, 6, 4, 6) },
    ...{ error: RangeError, wants: [/dOut/, /\b6\b/, /\b5\b/] },
  },
  {
    about: "dOut with q's head dim where v's is wanted",
    operands: { dOut: tensor(2, 5, 4, 8) },
    ...{ error: RangeError, wants: [/dOut/, /\b8\b/, /\b6\b/] },
  },
  {
    about: "a saved out of another shape",
    operands: { out: tensor(2, 5, 2, 6) },
    ...{ error: RangeError, wants: [/\bout\b/, /\b2\b/, /\b4\b/] },
  },
  {
    about: "a saved lse in the order of out",
    operands: { lse: tensor(2, 5, 4) },
    ...{ error: RangeError, wants: [/lse/, /2, 5, 4|lengthQ|heads/i, /2, 4, 5|\b4\b/] },
  },
  {
    about: "a missing lse",
    operands: { lse: undefined },
    ...{ error: TypeError, wants: [/lse/] },
  },
  {
    about: "a dLse of another shape",
    options: wrong({ dLse: tensor(2, 4, 6) }),
    ...{ error: RangeError, wants: [/dLse/, /\b6\b/, /\b5\b/] },
  },
  {
    about: "a dEntropy without the entropy",
    options: wrong({ dEntropy: tensor(2, 4, 5) }),
    ...{ error: TypeError, wants: [/dEntropy/, /saved\.stats\.entropy/, /undefined/] },
  },
  {
    about: "a dEntropy with other statistics",
    operands: { stats: { expectedKey: tensor(2, 4, 5) } },
    options: wrong({ dEntropy: tensor(2, 4, 5) }),
    ...{ error: TypeError, wants: [/dEntropy/, /saved\.stats\.entropy/] },
  },
  {
    about: "a dEntropy of another shape",
    operands: { stats: { entropy: tensor(2, 4, 5) } },
    options: wrong({ dEntropy: tensor(2, 4, 6) }),
    ...{ error: RangeError, wants: [/dEntropy/, /\b6\b/, /\b5\b/] },
  },
  {
    about: "an entropy of another shape",
    operands: { stats: { entropy: tensor(2, 3, 5) } },
    options: wrong({ dEntropy: tensor(2, 4, 5) }),
    ...{ error: RangeError, wants: [/entropy/, /\b3\b/, /\b4\b/] },
  },
  {
    about: "an entropy in 16 bits",
    operands: { stats: { entropy: { data: new Uint16Array(40), shape: [2, 4, 5], dtype: "f16" } } },
    options: wrong({ dEntropy: tensor(2, 4, 5) }),
    ...{ error: TypeError, wants: [/entropy/, /f16/, /f32/] },
  },
];
