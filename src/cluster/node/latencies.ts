// How long calls took, without keeping them: counts in buckets whose borders grow by a constant factor.

/** Buckets of a doubling: a percentile is right within 2^(1/16), 4.4 percent. */
const OCTAVE = 8;
/** The least time that is told from none, in milliseconds, and doublings from there: to 2.8 hours. */
const LEAST_MS = 0.01, OCTAVES = 30;
/** Calls after which those before count half: percentiles are those of the last ten thousand or so. */
const MEMORY = 8192;

/** Times of calls. */
export class Latencies {
  readonly #counts = new Float64Array(OCTAVE * OCTAVES);
  #weight = 0;
  #total = 0;

  /** Calls so far. */
  get total(): number {
    return this.#total;
  }

  /** Counts one. */
  add(ms: number): void {
    const bucket = Math.floor(OCTAVE * Math.log2(Math.max(LEAST_MS, ms) / LEAST_MS));
    this.#counts[Math.min(bucket, this.#counts.length - 1)]!++;
    this.#total++;
    if (++this.#weight < MEMORY) return;
    this.#weight /= 2;
    this.#counts.forEach((n, i) => this.#counts[i] = n / 2);
  }

  /** The time, in milliseconds, that so large a share of the calls did not exceed; undefined before the first. */
  percentile(share: number): number | undefined {
    let left = share * this.#weight;
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      // the middle of the bucket, as factors go
      if (count > 0 && left <= 0) return LEAST_MS * 2 ** ((bucket + 0.5) / OCTAVE);
    }
    return undefined;
  }
}
