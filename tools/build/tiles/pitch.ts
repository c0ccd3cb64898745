// How far apart rows of the score tiles lie; what the writers of tiles share.

/** Bytes from one key to the next in the score tiles of forward (8 queries). */
export const FORWARD_PITCH: number = 32;
/** Most queries of a backward block, and the bytes from one key to the next in its P and dS tiles. */
export const BACKWARD_ROWS: number = 256;
/** 16 floats of padding keep successive rows out of one another's cache sets. */
export const BACKWARD_PITCH: number = (BACKWARD_ROWS + 16) * 4;

/** 0, 1, … n - 1. */
export const range = (n: number): number[] => [...Array(n).keys()];
