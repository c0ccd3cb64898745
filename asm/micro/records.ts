// Where the fields of the kernels' own records lie: byte offsets, each a vector of lanes unless it says
// otherwise. What the host sees is in abi.ts.

/**
 * A panel: up to eight query rows that lie in the lanes of one score tile S^T[key][lane]. Behind it lie
 * the words that features have for each lane: addresses of rows, see stages/scores.gen.ts.
 */
export enum Panel {
  /** Lane sees key j when low <= j <= high; i32[8]. */
  Low = 0,
  High = 32,
  /** Where the diagonal of the lane's query lies, i + offset; i32[8]. */
  Diagonal = 64,
  /** Head of the lane's query; i32[8]. */
  Head = 96,
  Bytes = 128,
}

/** The softmax state of a panel of eight lanes; see stages/softmax.ts. */
export enum State {
  /** Minus the running maximum, base 2. */
  NegativeM = 0,
  /** The running sum of 2^(S - m). */
  L = 32,
  /** The largest score of the tile at hand, less m; in the end the factor 1 / l. */
  T = 64,
  Bytes = 96,
}

/** The largest products of a panel of eight queries with the rows of a document so far; see kernels/max_sim.ts. */
export enum Best {
  Product = 0,
  /** The row of each; i32[8]. */
  Row = 32,
  /** Sums of all products, NaN where one of them is; four lanes. */
  Sum = 64,
  Bytes = 80,
}

/** The same of a quad of four lanes (decode), and the narrowest band of its lanes. */
export enum QuadState {
  NegativeM = 0,
  L = 16,
  /** Every lane sees the keys [FullBegin, FullEnd), unless a feature hides them; i32. */
  FullBegin = 32,
  FullEnd = 36,
  Bytes = 48,
}

/** What statistics sum up of a panel beside its state; see stages/statistics.ts. */
export enum PanelSums {
  /** The sum of P (S - m). */
  PS = 0,
  /** The largest P. */
  Top = 32,
  /** The sum of P j. */
  PJ = 64,
  Bytes = 96,
}

/** The same of a quad. */
export enum QuadSums {
  PS = 0,
  Top = 16,
  PJ = 32,
  Bytes = 48,
}

/** The statistics of a row over the keys of a KV split, f32; `Sum`: the sum of p, 1 without a sink. */
export enum RowStatistics {
  Entropy = 0,
  Top = 4,
  Key = 8,
  Sum = 12,
  Bytes = 16,
}

/** What the rows of a panel of a backward block bring to P and dS. */
export enum RowStats {
  /** -lse in base 2; minus infinity where a row takes no part. */
  NegativeLse = 0,
  NegativeDelta = 32,
  /** -ln 2 times the gradient of the entropy; see stages/entropy.ts. */
  Gain = 64,
  Bytes = 96,
}

/** Constants of a backward task, each for eight lanes. */
export enum Constants {
  Zero = 0,
  Scale = 32,
  /** scale * log2 e */
  Scale2 = 64,
  Bytes = 96,
}

/** The second of the two vectors of a field. */
// @ts-ignore: decorator
@inline
export const UPPER: i32 = 16;
