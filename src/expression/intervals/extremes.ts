// Smallest and largest element of any run of an array: by blocks, and over the blocks by a segment tree. Built once,
// asked in logarithmic time; runs that begin and end with blocks, as those of tiles do, look at no element. Where the
// elements never fall, as ids of documents in order, they are the ends of the run, and nothing is built: a first call
// runs before this is compiled, where the tree of 65536 elements takes 2 to 5 ms and looking for one that falls 1.

const BLOCK_BITS = 5;
const BLOCK = 2 ** BLOCK_BITS;

/** Whether no element is smaller than the one before it. */
function neverFalls(data: Int32Array): boolean {
  const end = data.length - 3;
  let before = data[0]!, n = 1;
  for (; n < end; n += 4) { // four a turn: before it is compiled, a turn is what takes the time
    const a = data[n]!, b = data[n + 1]!, c = data[n + 2]!, d = data[n + 3]!;
    if (a < before || b < a || c < b || d < c) return false;
    before = d;
  }
  for (; n < data.length; n++) if (data[n]! < data[n - 1]!) return false;
  return true;
}

/** Extremes of an array of integers. After `find`, `min` and `max` hold what was found. */
export class Extremes {
  min = 0;
  max = 0;
  readonly #data: Int32Array;
  /** Node k covers nodes 2k and 2k + 1; the blocks stand from `#blocks` on. None where elements never fall. */
  readonly #low: Int32Array;
  readonly #high: Int32Array;
  readonly #blocks: number;

  /** `data` must not be empty, and must not change. */
  constructor(data: Int32Array) {
    const blocks = neverFalls(data) ? 0 : Math.ceil(data.length / BLOCK);
    const low = new Int32Array(2 * blocks), high = new Int32Array(2 * blocks);
    this.#data = data;
    this.#low = low;
    this.#high = high;
    this.#blocks = blocks;
    // without calls: this runs once, and before it is compiled they are what takes the time
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
    const low = this.#low, high = this.#high, blocks = this.#blocks, data = this.#data;
    if (blocks === 0) {
      this.min = data[first]!;
      this.max = data[end - 1]!;
      return;
    }
    const firstBlock = (first + BLOCK - 1) >> BLOCK_BITS;
    const endBlock = end === data.length ? blocks : end >> BLOCK_BITS;
    this.min = this.max = data[first]!;
    if (firstBlock >= endBlock) return this.#scan(first, end);
    let min = this.min, max = this.max, left = firstBlock + blocks, right = endBlock + blocks;
    for (; left < right; left >>= 1, right >>= 1) {
      if (left & 1) {
        if (low[left]! < min) min = low[left]!;
        if (high[left]! > max) max = high[left]!;
        left++;
      }
      if (right & 1) {
        right--;
        if (low[right]! < min) min = low[right]!;
        if (high[right]! > max) max = high[right]!;
      }
    }
    this.min = min;
    this.max = max;
    if (first < firstBlock << BLOCK_BITS) this.#scan(first, firstBlock << BLOCK_BITS);
    if (endBlock << BLOCK_BITS < end) this.#scan(endBlock << BLOCK_BITS, end);
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
}
