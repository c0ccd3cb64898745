// Attention as its formula says, row by row: in float64 what is right, with every step rounded to float32 what the plain
// formula comes to. Written apart from all kernels. Scratch is a row of scores.
//
//   s = softcap(scale q·k) − slope·distance + bias      p = softmax(s, sink)      out = p v      lse = ln Σ exp s
import type { ProblemSizes } from "./problem.ts";

/** An array that broadcasts to [batch, queryHeads, lengthQ, lengthK]: axes of size 1 repeat. */
export interface Broadcast {
  readonly values: Float64Array | Uint8Array;
  readonly shape: readonly [number, number, number, number];
}

/** What is wrong on purpose: how an attention would compute that has one of the usual faults; see faults.ts. */
export interface Fault {
  /** Query head h reads kv head h mod kvHeads. */
  readonly interleavedHeads?: boolean;
  /** Keys by which the diagonal is moved to the right. */
  readonly shift?: number;
  /** The diagonal ends at lengthK, whatever the key lengths. */
  readonly fixedDiagonal?: boolean;
  /** dS = P dP. */
  readonly noDelta?: boolean;
  /** The derivative of softcap is taken for 1. */
  readonly noSlope?: boolean;
  /** What the forward pass gave, where the fault is in the backward pass alone. */
  readonly saved?: { readonly out: Float64Array; readonly lse: Float64Array };
  /** Rows that sums over rows take in; all of them if absent. */
  readonly counts?: (batch: number, head: number, query: number) => boolean;
}

/** A problem with its numbers. Tensors are packed [batch, head, row, dim]. */
export interface Formula extends ProblemSizes {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly dOut: Float64Array;
  readonly scale: number;
  readonly softcap?: number | undefined;
  /** [queryHeads]. */
  readonly alibiSlopes?: Float64Array | undefined;
  readonly bias?: Broadcast | undefined;
  /** 1 = may attend. */
  readonly mask?: Broadcast | undefined;
  readonly keyLengths?: Int32Array | undefined;
  readonly causal?: "bottom-right" | "top-left" | undefined;
  readonly window?: { readonly left?: number; readonly right?: number } | undefined;
  /** [queryHeads]. */
  readonly sink?: Float64Array | undefined;
  /** [batch, queryHeads, lengthQ]. */
  readonly dLse?: Float64Array | undefined;
  readonly fault?: Fault | undefined;
}

/** How numbers are rounded on the way. */
export interface Arithmetic {
  /** After each operation. */
  round(value: number): number;
  /** As results are stored. */
  stored(values: Float64Array): Float64Array;
}

export const FLOAT64: Arithmetic = { round: (value) => value, stored: (values) => values };

/** Where a row of scores stands. */
export interface RowPlace {
  readonly batch: number;
  readonly head: number;
  readonly query: number;
  /** Its number among all rows, [batch, head, query]. */
  readonly index: number;
  /** Row of k and v where its keys begin. */
  readonly firstKey: number;
}

/** The rows of a problem. */
export function* rowsOf(formula: Formula): Generator<RowPlace> {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, fault } = formula;
  const groups = queryHeads / kvHeads;
  for (let b = 0, index = 0; b < batch; b++) {
    for (let head = 0; head < queryHeads; head++) {
      const kvHead = fault?.interleavedHeads ? head % kvHeads : Math.floor(head / groups);
      const firstKey = (b * kvHeads + kvHead) * lengthK;
      for (let query = 0; query < lengthQ; query++, index++) {
        yield { batch: b, head, query, index, firstKey };
      }
    }
  }
}

/** Where an array that broadcasts has its value for a key of a row. */
export function broadcastIndex({ shape }: Broadcast, row: RowPlace, key: number): number {
  const place = [row.batch, row.head, row.query, key];
  return shape.reduce((index, size, axis) => index * size + (size === 1 ? 0 : place[axis]!), 0);
}

/** The key below the diagonal of a query. */
export function diagonalOf(formula: Formula, { batch, query }: RowPlace): number {
  const { lengthQ, lengthK, keyLengths, causal, fault } = formula;
  const shift = fault?.shift ?? 0;
  if (causal === "top-left") return query + shift;
  const keys = keyLengths && !fault?.fixedDiagonal ? keyLengths[batch]! : lengthK;
  return query + keys - lengthQ + shift;
}

/** Whether a query may attend to a key. */
function isVisible(formula: Formula, row: RowPlace, diagonal: number, key: number): boolean {
  const { lengthK, keyLengths, causal, window, mask } = formula;
  if (key >= (keyLengths ? keyLengths[row.batch]! : lengthK)) return false;
  if (causal && key > diagonal) return false;
  if (window?.left !== undefined && key < diagonal - window.left) return false;
  if (window?.right !== undefined && key > diagonal + window.right) return false;
  return !mask || mask.values[broadcastIndex(mask, row, key)] !== 0;
}

/** A row of scores and what became of it; filled anew for each row. */
export class ScoreRow {
  /** Whether a key is visible. */
  readonly visible: Uint8Array;
  /** Probabilities; those of hidden keys are 0. */
  readonly p: Float64Array;
  /** d score / d (q·k). */
  readonly slope: Float64Array;
  /** |query position − key position|. */
  readonly distance: Float64Array;
  /** How many keys are visible. */
  seen = 0;
  /** The largest score, the sink's too. */
  max = 0;
  lse = 0;
  /** The weight of the sink. */
  sinkShare = 0;

  constructor(lengthK: number) {
    this.visible = new Uint8Array(lengthK);
    const array = () => new Float64Array(lengthK);
    [this.p, this.slope, this.distance] = [array(), array(), array()];
  }

  /** Scores, then their softmax. */
  fill(formula: Formula, row: RowPlace, { round }: Arithmetic): void {
    this.#score(formula, row, round);
    if (formula.fault?.saved) return this.#weigh(formula.fault.saved.lse[row.index]!);
    const sink = formula.sink ? formula.sink[row.head]! : -Infinity, { p, visible } = this;
    this.max = sink;
    p.forEach((score, j) => this.max = visible[j] ? Math.max(this.max, score) : this.max);
    const ofSink = sink === -Infinity ? 0 : round(Math.exp(round(sink - this.max)));
    let sum = ofSink;
    for (let j = 0; j < p.length; j++) {
      p[j] = visible[j] ? round(Math.exp(round(p[j]! - this.max))) : 0;
      sum = round(sum + p[j]!);
    }
    this.lse = sum === 0 ? -Infinity : round(this.max + round(Math.log(sum)));
    this.sinkShare = sum === 0 ? 0 : round(ofSink / sum);
    if (sum !== 0) p.forEach((weight, j) => p[j] = round(weight / sum));
  }

  /** Probabilities from an lse. */
  #weigh(lse: number): void {
    this.p.forEach((score, j) => {
      this.p[j] = this.visible[j] && lse !== -Infinity ? Math.exp(score - lse) : 0;
    });
  }

  #score(formula: Formula, row: RowPlace, round: (value: number) => number): void {
    const { q, k, headDim, scale, softcap, alibiSlopes, bias, fault } = formula;
    const diagonal = diagonalOf(formula, row);
    this.seen = 0;
    for (let j = 0; j < this.p.length; j++) {
      this.visible[j] = isVisible(formula, row, diagonal, j) ? 1 : 0;
      if (!this.visible[j]) continue;
      this.seen++;
      let dot = 0;
      for (let d = 0; d < headDim; d++) {
        const product = q[row.index * headDim + d]! * k[(row.firstKey + j) * headDim + d]!;
        dot = round(dot + round(product));
      }
      let score = round(dot * scale);
      this.slope[j] = scale;
      if (softcap !== undefined) {
        const bent = round(Math.tanh(round(score / softcap)));
        score = round(softcap * bent);
        if (!fault?.noSlope) this.slope[j] = round(scale * round(1 - round(bent * bent)));
      }
      this.distance[j] = Math.abs(diagonal - j);
      if (alibiSlopes) score = round(score - round(alibiSlopes[row.head]! * this.distance[j]!));
      if (bias) score = round(score + bias.values[broadcastIndex(bias, row, j)]!);
      this.p[j] = score;
    }
  }

  /** out of the row: Σ p v, as it is stored. */
  output(formula: Formula, row: RowPlace, { round, stored }: Arithmetic): Float64Array {
    const { v, valueDim, fault } = formula, out = new Float64Array(valueDim);
    const at = row.index * valueDim;
    if (fault?.saved) return fault.saved.out.subarray(at, at + valueDim);
    for (let j = 0; j < this.p.length; j++) {
      if (!this.visible[j]) continue;
      for (let d = 0; d < valueDim; d++) {
        const term = round(this.p[j]! * v[(row.firstKey + j) * valueDim + d]!);
        out[d] = round(out[d]! + term);
      }
    }
    return stored(out);
  }
}

/** What the forward pass gives, and for each row how many keys it sees and its largest score. */
export interface ForwardResults {
  readonly out: Float64Array;
  readonly lse: Float64Array;
  readonly seen: Int32Array;
  readonly maxima: Float64Array;
}

/** Forward pass. */
export function forwardOf(formula: Formula, arithmetic: Arithmetic): ForwardResults {
  const { batch, queryHeads, lengthQ, lengthK, valueDim } = formula;
  const rows = batch * queryHeads * lengthQ, scores = new ScoreRow(lengthK);
  const out = new Float64Array(rows * valueDim), lse = new Float64Array(rows);
  const seen = new Int32Array(rows), maxima = new Float64Array(rows);
  for (const row of rowsOf(formula)) {
    scores.fill(formula, row, arithmetic);
    out.set(scores.output(formula, row, arithmetic), row.index * valueDim);
    lse[row.index] = scores.lse;
    seen[row.index] = scores.seen;
    maxima[row.index] = scores.max;
  }
  return { out, lse, seen, maxima };
}
