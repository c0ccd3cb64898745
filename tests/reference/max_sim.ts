/**
 * Late interaction as its formula says, in float64, and the same rounded to float32 at every step: the yardstick.
 *
 *   score(d) = Σ_i max_{j in d} q_i·k_j        dq_i = Σ_d dScore(d) k_arg(d, i)        dk_j = Σ_{arg(d, i) = j} dScore(d) q_i
 *
 * The lower row of equal products, the first that is NaN. A document without rows has −∞ and no row.
 */

/** Sets of queries [set, query, dim] and rows [row, dim]; document d has the rows from starts[d] to before starts[d + 1]. */
export interface DocumentProblem {
  readonly sets: number;
  readonly tokens: number;
  readonly dim: number;
  readonly starts: readonly number[];
  readonly queries: Float64Array;
  readonly rows: Float64Array;
}

/** Scores [set, document] and rows [set, document, query]. */
export interface MaxSimResults {
  readonly scores: Float64Array;
  readonly keys: Int32Array;
}

type Round = (x: number) => number;

/** The product of a query and a row. */
export function productOf(
  { tokens, dim, queries, rows }: DocumentProblem,
  [set, i, j]: readonly [number, number, number],
  round: Round = (x) => x,
): number {
  let sum = 0;
  for (let d = 0; d < dim; d++) {
    sum = round(sum + round(queries[(set * tokens + i) * dim + d]! * rows[j * dim + d]!));
  }
  return sum;
}

/** Scores, and the rows of the largest products. */
export function maxSim(problem: DocumentProblem, round: Round = (x) => x): MaxSimResults {
  const { sets, tokens, starts } = problem, documents = starts.length - 1;
  const scores = new Float64Array(sets * documents);
  const keys = new Int32Array(sets * documents * tokens).fill(-1);
  for (let set = 0; set < sets; set++) {
    for (let d = 0; d < documents; d++) {
      for (let i = 0; i < tokens; i++) {
        let best = -Infinity, row = -1;
        for (let j = starts[d]!; j < starts[d + 1]!; j++) {
          const s = productOf(problem, [set, i, j], round);
          if (row >= 0 && (s <= best || Number.isNaN(best))) continue;
          [best, row] = [s, j];
        }
        scores[set * documents + d] = round(scores[set * documents + d]! + best);
        keys[(set * documents + d) * tokens + i] = row;
      }
    }
  }
  return { scores, keys };
}

/** Gradients of Σ dScores∘scores; a gradient of 0 adds nothing. */
export function maxSimGradients(
  { sets, tokens, dim, starts, queries, rows }: DocumentProblem,
  keys: Int32Array,
  dScores: Float64Array,
  round: Round = (x) => x,
): { dQueries: Float64Array; dRows: Float64Array } {
  const dQueries = new Float64Array(queries.length), dRows = new Float64Array(rows.length);
  const documents = starts.length - 1;
  for (let set = 0; set < sets; set++) {
    for (let d = 0; d < documents; d++) {
      const ds = dScores[set * documents + d]!;
      for (let i = 0; i < tokens; i++) {
        const row = keys[(set * documents + d) * tokens + i]!;
        if (row < 0 || ds === 0) continue;
        for (let c = 0; c < dim; c++) {
          const query = (set * tokens + i) * dim + c, key = row * dim + c;
          dQueries[query] = round(dQueries[query]! + round(ds * rows[key]!));
          dRows[key] = round(dRows[key]! + round(ds * queries[query]!));
        }
      }
    }
  }
  return { dQueries, dRows };
}
