/** Joining the symbols of a text into tokens, as byte pair encoding by scores does. */

/** The token that two neighbours make together. */
export interface Joined {
  token: number;
  score: number;
}

/** A pair of neighbours that may be joined; stale once one of them was joined with another. */
interface Pair {
  left: number;
  tokens: [number, number];
  joined: number;
  score: number;
}

/**
 * Joins neighbours, the highest score first and of equal ones the leftmost, until no two make a
 * piece. Pairs wait in a heap, so a long text takes n log n steps.
 */
export function joinByScore(
  symbols: number[],
  join: (a: number, b: number) => Joined | undefined,
): number[] {
  const tokens = symbols.slice(), gone = -1;
  const next = tokens.map((_, i) => i + 1), previous = tokens.map((_, i) => i - 1);
  const heap = new PairHeap();
  const offer = (left: number): void => {
    const right = next[left] ?? tokens.length;
    if (left < 0 || right >= tokens.length) return;
    const pair: Pair["tokens"] = [tokens[left]!, tokens[right]!];
    const joined = join(...pair);
    if (joined) heap.push({ left, tokens: pair, joined: joined.token, score: joined.score });
  };
  tokens.forEach((_, left) => offer(left));
  for (let pair = heap.pop(); pair; pair = heap.pop()) {
    const { left } = pair, right = next[left]!;
    if (tokens[left] !== pair.tokens[0] || tokens[right] !== pair.tokens[1]) continue; // stale
    tokens[left] = pair.joined;
    tokens[right] = gone;
    next[left] = next[right]!;
    if (next[left]! < tokens.length) previous[next[left]!] = left;
    offer(previous[left]!);
    offer(left);
  }
  return tokens.filter((token) => token !== gone);
}

/** A binary heap with the next pair to join on top. */
class PairHeap {
  readonly #pairs: Pair[] = [];

  push(pair: Pair): void {
    const pairs = this.#pairs;
    let at = pairs.push(pair) - 1;
    for (let up = (at - 1) >> 1; at > 0 && isBefore(pair, pairs[up]!); up = (at - 1) >> 1) {
      pairs[at] = pairs[up]!;
      at = up;
    }
    pairs[at] = pair;
  }

  pop(): Pair | undefined {
    const pairs = this.#pairs, top = pairs[0], last = pairs.pop();
    if (!last || pairs.length === 0) return top;
    let at = 0;
    for (let down = 1; down < pairs.length; down = 2 * at + 1) {
      if (down + 1 < pairs.length && isBefore(pairs[down + 1]!, pairs[down]!)) down++;
      if (!isBefore(pairs[down]!, last)) break;
      pairs[at] = pairs[down]!;
      at = down;
    }
    pairs[at] = last;
    return top;
  }
}

function isBefore(a: Pair, b: Pair): boolean {
  return a.score > b.score || (a.score === b.score && a.left < b.left);
}
