// The free blocks of a memory: neighbours are joined, and a block that is large enough is found without a look at
// the others, however many there are. Blocks stand in bins by the power of two of their size.

/** Bytes that all sizes are multiples of. */
export const GRAIN = 64;
/** Blocks of a size's own bin that are looked at before larger bins are: there they may be too small. */
const LOOKS = 16;

/** A free block; where it stands in its bin. */
interface Block {
  begin: number;
  end: number;
  place: number;
}

const binOf = (bytes: number): number => 31 - Math.clz32(bytes / GRAIN);

/** Free blocks of a memory of up to 4 GiB. */
export class FreeBlocks {
  readonly #bins: Block[][] = Array.from({ length: 27 }, () => []);
  readonly #byBegin = new Map<number, Block>();
  readonly #byEnd = new Map<number, Block>();

  #insert(begin: number, end: number): void {
    const bin = this.#bins[binOf(end - begin)]!;
    const block = { begin, end, place: bin.length };
    bin.push(block);
    this.#byBegin.set(begin, block);
    this.#byEnd.set(end, block);
  }

  #remove(block: Block): void {
    const bin = this.#bins[binOf(block.end - block.begin)]!, last = bin.pop()!;
    if (last !== block) { // the last one takes its place
      bin[block.place] = last;
      last.place = block.place;
    }
    this.#byBegin.delete(block.begin);
    this.#byEnd.delete(block.end);
  }

  /** Bytes that are free before `end`. */
  before(end: number): number {
    const block = this.#byEnd.get(end);
    return block ? end - block.begin : 0;
  }

  /** Bytes of the largest free block. */
  get largest(): number {
    const bin = this.#bins.findLast((bin) => bin.length > 0) ?? [];
    return bin.reduce((most, { begin, end }) => Math.max(most, end - begin), 0);
  }

  /** Adds a block, joined with free neighbours. */
  add(begin: number, end: number): void {
    const left = this.#byEnd.get(begin), right = this.#byBegin.get(end);
    if (left) this.#remove(left);
    if (right) this.#remove(right);
    this.#insert(left?.begin ?? begin, right?.end ?? end);
  }

  /** The last of a bin that has room, among its blocks `from .. to`. */
  #find(bin: readonly Block[], bytes: number, from: number, to: number): Block | undefined {
    for (let n = to - 1; n >= from; n--) {
      const block = bin[n]!;
      if (block.end - block.begin >= bytes) return block;
    }
    return undefined;
  }

  #fitting(bytes: number): Block | undefined {
    const own = binOf(bytes), bin = this.#bins[own]!, looked = Math.max(0, bin.length - LOOKS);
    const near = this.#find(bin, bytes, looked, bin.length);
    if (near) return near;
    for (let n = own + 1; n < this.#bins.length; n++) {
      const larger = this.#bins[n]!.at(-1);
      if (larger) return larger;
    }
    return this.#find(bin, bytes, 0, looked); // before the memory grows
  }

  /** Takes `bytes` out of a free block, at its begin; undefined where none is large enough. */
  take(bytes: number): number | undefined {
    const block = bytes <= 2 ** 32 ? this.#fitting(bytes) : undefined;
    if (!block) return undefined;
    const { begin, end } = block;
    this.#remove(block);
    if (begin + bytes < end) this.#insert(begin + bytes, end);
    return begin;
  }
}
