// The operand table: every tensor that a call may read or write, one row each. What depends on the kind of a
// tensor (its sizes, its part in a region of the work, where it is staged and bound, its gradient) is derived
// from here; no other file asks for an operand by name to find out what it is like.

/** What an axis of an operand runs along; `one`: it is not there. */
export type AxisName =
  | "batch"
  | "queryHead"
  | "kvHead"
  | "query"
  | "key"
  | "headDim"
  | "valueDim"
  | "count"
  | "captured"
  | "document"
  | "one";

/** An operand as [batch, head, row, column]. */
export interface OperandRow {
  readonly role: "input" | "result";
  readonly axes: readonly [AxisName, AxisName, AxisName, AxisName];
  /**
   * How its tensor has these axes: `layout`: all four, in the order that the call's layout says; `rows`: without
   * the column; `heads`: [batch, head] or only [head]; `broadcast`: leading axes may be missing, any may be 1; `axes`: all
   * four, as they are.
   */
  readonly shape: "layout" | "rows" | "heads" | "broadcast" | "axes";
  /** `any`: f32, f16 or bf16; `bool`: bytes in host memory; `i32`: numbers of keys. */
  readonly dtype: "any" | "f32" | "bool" | "i32";
  /** Of a gradient: its input. */
  readonly gradientOf?: OperandName;
  /** Summed over several pieces of work, so each piece adds to what others left. */
  readonly summed?: boolean;
}

/** Names of statistics of a row: results of a forward call. The entropy is an input of a backward one too. */
export type StatisticName = "entropy" | "maxProbability" | "expectedKey";

/** Names of the inputs of a call. `out` and `lse` are the results of a forward call and inputs of a backward one. */
export type InputName =
  | "q"
  | "k"
  | "v"
  | "out"
  | "lse"
  | "dOut"
  | "dLse"
  | StatisticName
  | "dEntropy"
  | "bias"
  | "mask"
  | "alibiSlopes"
  | "sink";
/** Names of the gradients. */
export type GradientName = "dq" | "dk" | "dv" | "dBias" | "dAlibiSlopes" | "dSink";
/** Name of the gradients of arrays that functions captured: one behind the other. They are no tensors of the call. */
export type CapturedName = "dCaptured";
/** Names of what looks inside: results that are no gradients. */
export type InsideName = "scores" | "topKeys" | "topProbabilities" | "columnSums";
/** Names of late interaction: its results, and the gradient of its scores, an input. */
export type DocumentName = "documentScores" | "documentKeys" | "dDocumentScores";
/** Names of all tensors that a call may read or write. */
export type OperandName = InputName | GradientName | CapturedName | InsideName | DocumentName;

const input = (
  shape: OperandRow["shape"],
  axes: OperandRow["axes"],
  dtype: OperandRow["dtype"] = "any",
): OperandRow => ({ role: "input", axes, shape, dtype });

const queries = ["batch", "queryHead", "query"] as const;
const keys = ["batch", "kvHead", "key"] as const;

const INPUTS: Readonly<Record<InputName, OperandRow>> = {
  q: input("layout", [...queries, "headDim"]),
  k: input("layout", [...keys, "headDim"]),
  v: input("layout", [...keys, "valueDim"]),
  out: input("layout", [...queries, "valueDim"]),
  lse: input("rows", [...queries, "one"], "f32"),
  dOut: input("layout", [...queries, "valueDim"]),
  dLse: input("rows", [...queries, "one"], "f32"),
  entropy: input("rows", [...queries, "one"], "f32"),
  maxProbability: input("rows", [...queries, "one"], "f32"),
  expectedKey: input("rows", [...queries, "one"], "f32"),
  dEntropy: input("rows", [...queries, "one"], "f32"),
  bias: input("broadcast", [...queries, "key"]),
  mask: input("broadcast", [...queries, "key"], "bool"),
  alibiSlopes: input("heads", ["batch", "queryHead", "one", "one"], "f32"),
  sink: input("heads", ["one", "queryHead", "one", "one"], "f32"),
};

const gradient = (gradientOf: InputName, summed: boolean): OperandRow => ({
  ...INPUTS[gradientOf],
  role: "result",
  gradientOf,
  summed,
});

const GRADIENTS: Readonly<Record<GradientName, OperandRow>> = {
  dq: gradient("q", false),
  dk: gradient("k", false),
  dv: gradient("v", false),
  dBias: gradient("bias", true),
  dAlibiSlopes: gradient("alibiSlopes", true),
  dSink: gradient("sink", true),
};

const result = (
  shape: OperandRow["shape"],
  axes: OperandRow["axes"],
  dtype: "f32" | "i32" = "f32",
): OperandRow => ({ role: "result", axes, shape, dtype });

const CAPTURED: Readonly<Record<CapturedName, OperandRow>> = {
  dCaptured: { ...result("axes", ["one", "one", "one", "captured"]), summed: true },
};

const INSIDE: Readonly<Record<InsideName, OperandRow>> = {
  scores: result("axes", [...queries, "key"]),
  topKeys: result("axes", [...queries, "count"], "i32"),
  topProbabilities: result("axes", [...queries, "count"]),
  columnSums: { ...result("rows", ["batch", "queryHead", "key", "one"]), summed: true },
};

const documents = ["one", "queryHead", "document"] as const;

const DOCUMENTS: Readonly<Record<DocumentName, OperandRow>> = {
  documentScores: result("axes", [...documents, "one"]),
  documentKeys: result("axes", [...documents, "query"], "i32"),
  dDocumentScores: input("axes", [...documents, "one"], "f32"),
};

/** The table. */
export const OPERANDS: Readonly<Record<OperandName, OperandRow>> = {
  ...INPUTS,
  ...GRADIENTS,
  ...CAPTURED,
  ...INSIDE,
  ...DOCUMENTS,
};

/** All names, in the order of the table. */
export const OPERAND_NAMES: readonly OperandName[] = Object.keys(OPERANDS) as OperandName[];

/** The statistics, in the order of the table. */
export const STATISTIC_NAMES: readonly StatisticName[] = [
  "entropy",
  "maxProbability",
  "expectedKey",
];

const GRADIENT_NAMES = Object.keys(GRADIENTS) as GradientName[];

/** The gradients of a problem with these inputs, in the order of the table. */
export function gradientsOf(
  inputs: { readonly [name in OperandName]?: unknown },
): GradientName[] {
  return GRADIENT_NAMES.filter((name) => inputs[GRADIENTS[name].gradientOf!] !== undefined);
}

/** The results of a backward pass, in the order of the table. */
export function gradientNames(
  { operands, captured }: {
    readonly operands: { readonly [name in OperandName]?: unknown };
    readonly captured: number;
  },
): OperandName[] {
  return [...gradientsOf(operands), ...captured > 0 ? ["dCaptured"] as const : []];
}

/** Whether an axis of an operand runs along `axis`. */
export function runsAlong(name: OperandName, axis: AxisName): boolean {
  return OPERANDS[name].axes.includes(axis);
}

/**
 * What an operand follows: its rows are queries, its rows are keys, both (rows are queries and columns keys),
 * neither (a number for each head), or its rows are documents.
 */
export type Follows = "queries" | "keys" | "scores" | "heads" | "documents";

function followsAxes({ axes: [, , row, column] }: OperandRow): Follows {
  if (row === "document") return "documents";
  if (row === "key") return "keys";
  if (row === "one") return "heads";
  return column === "key" ? "scores" : "queries";
}

const FOLLOWS = Object.fromEntries(
  OPERAND_NAMES.map((name) => [name, followsAxes(OPERANDS[name])]),
) as Record<OperandName, Follows>;

/** What an operand follows. */
export function follows(name: OperandName): Follows {
  return FOLLOWS[name];
}

/** Sizes of a call that axes run along. */
export interface AxisSizes {
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  /** 0 where a call has no values. */
  readonly valueDim: number;
  /** Keys of a row that a call returns; 0 where it returns none. */
  readonly count: number;
  /** Elements of all captured arrays whose gradients a call returns. */
  readonly captured: number;
  /** Sides whose sequences lie one behind the other; lengths are then those of the longest sequence. */
  readonly packed?: PackedSides | undefined;
  /** The first row of each document among the keys, and the row behind the last one, where a call has documents. */
  readonly documents?: readonly number[] | undefined;
  /** Keys of each sequence, where a cache holds them. */
  readonly cached?: readonly number[] | undefined;
}

/** Sequences that lie one behind the other along the rows of a tensor. */
export interface PackedSide {
  /** The first row of each sequence, and the row behind the last one. */
  readonly starts: readonly number[];
  /** Rows of the tensor; there may be some behind the last sequence. */
  readonly rows: number;
}

/** The packed sides of a call. */
export interface PackedSides {
  readonly queries?: PackedSide | undefined;
  readonly keys?: PackedSide | undefined;
}

/** The packed side that the rows of an operand follow, if any. */
export function packedSide(
  name: OperandName,
  { packed }: Pick<AxisSizes, "packed">,
): PackedSide | undefined {
  const what = packed && follows(name);
  return what === "queries" || what === "keys" ? packed![what] : undefined;
}

/** Sizes of [batch, head, row, column] of an operand; one whose side is packed has no batch axis. */
export function operandSize(name: OperandName, sizes: AxisSizes): [number, number, number, number] {
  const [batch, head, row, column] = OPERANDS[name].axes, side = packedSide(name, sizes);
  return [
    side ? 1 : axisSize(batch, sizes),
    axisSize(head, sizes),
    side ? side.rows : axisSize(row, sizes),
    axisSize(column, sizes),
  ];
}

/** How long an axis is. */
export function axisSize(axis: AxisName, sizes: AxisSizes): number {
  switch (axis) {
    case "batch":
      return sizes.batch;
    case "queryHead":
      return sizes.queryHeads;
    case "kvHead":
      return sizes.kvHeads;
    case "query":
      return sizes.lengthQ;
    case "key":
      return sizes.lengthK;
    case "headDim":
      return sizes.headDim;
    case "valueDim":
      return sizes.valueDim;
    case "count":
      return sizes.count;
    case "captured":
      return sizes.captured;
    case "document":
      return Math.max(0, (sizes.documents?.length ?? 0) - 1);
    case "one":
      return 1;
  }
}

/** Name of an operand or feature in asm/abi.ts: `dAlibiSlopes` is `DAlibiSlopes`. */
export function abiName(name: string): string {
  return name[0]!.toUpperCase() + name.slice(1);
}

/** Name of an operand in WGSL: `alibiSlopes` is `alibi_slopes`, `dOut` is `dout`. */
export function shaderName(name: string): string {
  return name.replace(/^d([A-Z])/, (_, letter: string) => `d${letter.toLowerCase()}`)
    .replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
