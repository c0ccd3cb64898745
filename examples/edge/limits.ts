/** What a request may be, and what all of them together may hold: for isolates of 128 MiB. */
export interface Limits {
  /** Bytes of a body of JSON. Parsed, its numbers take eight times as much at most. */
  readonly jsonBytes: number;
  /** Bytes of a body of numbers as they lie in memory. */
  readonly binaryBytes: number;
  /** Seconds in which a body must have come. */
  readonly seconds: number;
  readonly queryTokens: number;
  readonly documents: number;
  readonly documentTokens: number;
  readonly dim: number;
  /** Bytes that bodies and what is made of them may take at a time, of all requests. */
  readonly roomBytes: number;
  /** Bytes of the engine. */
  readonly memoryBudget: number;
}

const KIB = 1024, MIB = 1024 * KIB;

export const LIMITS: Limits = {
  jsonBytes: 1 * MIB,
  binaryBytes: 4 * MIB,
  seconds: 10,
  queryTokens: 256,
  documents: 1000,
  documentTokens: 2048,
  dim: 1024,
  roomBytes: 48 * MIB,
  memoryBudget: 24 * MIB,
};
