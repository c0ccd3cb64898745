// Smallest and largest element of any run of an array: by blocks, and over the blocks by a segment tree. Built once,
// asked in logarithmic time; runs that begin and end with blocks, as those of tiles do, look at no element.

const BLOCK_BITS = 5;
const BLOCK = 2 ** BLOCK_BITS;

/** Extremes of an array of integers. After `find`, `min` and `max` hold what was found. */
export class Extremes {
  min = 0;
  max = 0;
  readonly #data: Int32Array;
  /** Node k covers nodes 2k and 2k + 1; the blocks stand from `#blocks` on. */
  readonly #low: Int32Array;
  readonly #high: Int32Array;
  readonly #blocks: number;

  /** `data` must not be empty, and must not change. */
  constructor(data: Int32Array) {
    const blocks = Math.ceil(data.length / BLOCK);
    const low = new Int32Array(2 * blocks), high = new Int32Array(2 * blocks);
    this.#data = data;
    this.#low = low;
    this.#high = high;
    this.#blocks = blocks;
    // without calls: this runs once, and what is slow before it is compiled shows
    for (let block = 0; block < blocks; block++) {
      const first = block * BLOCK, end = Math.min(first + BLOCK, data.length);
      let min = data[first]!, max = min;
      for (let n = first + 1; n < end; n++) {
        const value = data[n]!;
        if (value < min) min = value;
        if (value > max) max = value;
      }
      low[blocks + block] = min;
      high[blocks + block] = max;
    }
    for (let k = blocks - 1; k > 0; k--) {
      const left = 2 * k, right = left + 1;
      low[k] = low[left]! < low[right]! ? low[left]! : low[right]!;
      high[k] = high[left]! > high[right]! ? high[left]! : high[right]!;
    }
  }

  /** Sets `min` and `max` to those of elements `first` to `end − 1`, at least one. */
  find(first: number, end: number): void {
    const firstBlock = (first + BLOCK - 1) >> BLOCK_BITS;
    const endBlock = end === this.#data.length ? this.#blocks : end >> BLOCK_BITS;
    this.#start(first);
    if (firstBlock >= endBlock) return this.#scan(first, end);
    this.#scan(first, firstBlock << BLOCK_BITS);
    this.#climb(firstBlock, endBlock);
    this.#scan(endBlock << BLOCK_BITS, end);
  }

  /** Extremes of one element. */
  #start(at: number): void {
    this.min = this.max = this.#data[at]!;
  }

  /** Takes in elements one by one. */
  #scan(first: number, end: number): void {
    const data = this.#data;
    let min = this.min, max = this.max;
    for (let n = first; n < end; n++) {
      const value = data[n]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    this.min = min;
    this.max = max;
  }

  /** Takes in whole blocks. */
  #climb(firstBlock: number, endBlock: number): void {
    const low = this.#low, high = this.#high;
    let left = firstBlock + this.#blocks, right = endBlock + this.#blocks;
    for (; left < right; left >>= 1, right >>= 1) {
      if (left & 1) this.#take(low[left]!, high[left++]!);
      if (right & 1) this.#take(low[--right]!, high[right]!);
    }
  }

  #take(low: number, high: number): void {
    if (low < this.min) this.min = low;
    if (high > this.max) this.max = high;
  }
}
