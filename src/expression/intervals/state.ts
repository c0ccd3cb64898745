// What is known of each node of a graph over the tile that is asked about.

/** Ends included. */
export type Range = readonly [low: number, high: number];

/** An integer as a · query + b · key + c, without wrapping. */
export interface Affine {
  readonly query: number;
  readonly key: number;
  readonly constant: number;
}

/**
 * Values of node n lie in [low, high]. Integers may have a gap: none lies strictly between `gapLow` and `gapHigh`.
 * Booleans are 0 and 1. Floats of which nothing is known, which may be NaN, have NaN at both ends, which spreads to
 * what is computed of them as it should.
 */
export interface State {
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly gapLow: Float64Array;
  readonly gapHigh: Float64Array;
  /** Exact forms of the integers that have one; known before any tile is. */
  readonly affine: (Affine | undefined)[];
  /** First and last query, first and last key. */
  readonly tile: Float64Array;
  /** Last query and last key of all tiles. */
  readonly lastQuery: number;
  readonly lastKey: number;
}

/** Finds the range of one node from those of its operands. */
export type Step = () => void;

/** Builds the step of node n, whose operands are nodes a, b and c. */
export interface Slots {
  readonly n: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

const LEAST = -(2 ** 31), MOST = 2 ** 31 - 1;

/** Nothing is known of `count` nodes yet. */
export function newState(count: number, lastQuery: number, lastKey: number): State {
  const numbers = () => new Float64Array(count);
  return {
    low: numbers(),
    high: numbers(),
    gapLow: numbers(),
    gapHigh: numbers(),
    affine: new Array(count),
    tile: new Float64Array(4),
    lastQuery,
    lastKey,
  };
}

/** Sets the range of an integer; one that could leave 32 bits can be anything, since it wraps. */
export function putInt(state: State, n: number, low: number, high: number): void {
  const wraps = low < LEAST || high > MOST;
  state.low[n] = wraps ? LEAST : low;
  state.high[n] = wraps ? MOST : high;
  state.gapLow[n] = state.gapHigh[n] = 0;
}

/** Sets the range of an integer without what lies strictly between `gapLow` and `gapHigh`. */
export function putWithGap(
  state: State,
  n: number,
  [low, high]: Range,
  gapLow: number,
  gapHigh: number,
): void {
  state.low[n] = low;
  state.high[n] = high;
  state.gapLow[n] = gapLow;
  state.gapHigh[n] = gapHigh;
}

/** Whether `x` is no value of the integer n, although it may lie in its range. */
export function inGap(state: State, n: number, x: number): boolean {
  return state.gapLow[n]! < x && x < state.gapHigh[n]!;
}

/** Least value of an affine form over the tile. */
function leastOf({ query, key, constant }: Affine, tile: Float64Array): number {
  return constant + query * tile[query >= 0 ? 0 : 1]! + key * tile[key >= 0 ? 2 : 3]!;
}

/** Largest value of an affine form over the tile. */
function mostOf({ query, key, constant }: Affine, tile: Float64Array): number {
  return constant + query * tile[query >= 0 ? 1 : 0]! + key * tile[key >= 0 ? 3 : 2]!;
}

/** Finds an end of a range over the tile. */
export type End = () => number;

/**
 * What finds least and most of an affine form. It calls nothing: a first call with a mask runs it before it is compiled,
 * where calls are what takes the time.
 */
export function endsOf(
  { query, key, constant }: Affine,
  tile: Float64Array,
): [least: End, most: End] {
  const leastQuery = query >= 0 ? 0 : 1, leastKey = key >= 0 ? 2 : 3;
  const mostQuery = 1 - leastQuery, mostKey = 5 - leastKey;
  return [
    () => constant + query * tile[leastQuery]! + key * tile[leastKey]!,
    () => constant + query * tile[mostQuery]! + key * tile[mostKey]!,
  ];
}

/**
 * The step of an integer that has an affine form, which is noted for those computed of it; undefined where the form
 * could wrap somewhere, so that it says nothing.
 */
export function affineStep(state: State, n: number, form: Affine): Step | undefined {
  const { query, key, constant } = form, everywhere = [0, state.lastQuery, 0, state.lastKey];
  const whole = Float64Array.from(everywhere);
  const small = Math.max(Math.abs(query), Math.abs(key), Math.abs(constant)) <= 2 ** 31;
  if (!small || leastOf(form, whole) < LEAST || mostOf(form, whole) > MOST) return undefined;
  state.affine[n] = form;
  const { low, high } = state, [least, most] = endsOf(form, state.tile);
  return () => {
    low[n] = least();
    high[n] = most();
  };
}

/** x · a + y · b */
export function combined(a: Affine, x: number, b: Affine, y: number): Affine {
  return {
    query: x * a.query + y * b.query,
    key: x * a.key + y * b.key,
    constant: x * a.constant + y * b.constant,
  };
}

/** The sum with factors of two nodes, where both have a form. */
export function combinedOf(
  { affine }: State,
  a: number,
  x: number,
  b: number,
  y: number,
): Affine | undefined {
  const first = affine[a], second = affine[b];
  return first && second && combined(first, x, second, y);
}
