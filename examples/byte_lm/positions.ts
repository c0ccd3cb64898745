/**
 * Rotary positions (Su et al., 2021): channel pairs of q and k are turned by an angle that grows
 * with the position, so that a score depends on how far apart two bytes are. Nothing is learned
 * here, and a cached key keeps its angle when the text goes on.
 */
export class RotaryPositions {
  readonly #headDim: number;
  readonly #cos: Float32Array;
  readonly #sin: Float32Array;

  constructor(headDim: number, maxPositions: number, base = 1000) {
    const pairs = headDim >> 1;
    this.#headDim = headDim;
    this.#cos = new Float32Array(maxPositions * pairs);
    this.#sin = new Float32Array(maxPositions * pairs);
    for (let position = 0; position < maxPositions; position++) {
      for (let pair = 0; pair < pairs; pair++) {
        const angle = position * base ** (-pair / pairs);
        this.#cos[position * pairs + pair] = Math.cos(angle);
        this.#sin[position * pairs + pair] = Math.sin(angle);
      }
    }
  }

  /**
   * Turns every head of `x`, `[batch, length, heads, headDim]`, in place. Row 0 stands at
   * position `first`. `direction` −1 turns back, which is also the gradient of the turn.
   */
  turn(
    x: Float32Array,
    length: number,
    heads: number,
    first = 0,
    direction: 1 | -1 = 1,
  ): void {
    const dim = this.#headDim;
    const pairs = dim >> 1;
    const rows = x.length / (heads * dim);
    for (let row = 0; row < rows; row++) {
      const angles = (first + row % length) * pairs;
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * dim;
        for (let pair = 0; pair < pairs; pair++) {
          const cos = this.#cos[angles + pair]!;
          const sin = direction * this.#sin[angles + pair]!;
          const a = x[at + pair]!, b = x[at + pair + pairs]!;
          x[at + pair] = a * cos - b * sin;
          x[at + pair + pairs] = a * sin + b * cos;
        }
      }
    }
  }
}
