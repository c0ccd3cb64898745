// Long work on memory in pieces, with pauses between them in which the event loop may turn. Memory may
// grow at a pause, so every piece makes its views anew.
import { addBox, copyBox, type Side } from "../../tensor/copy.ts";
import {
  type Axes,
  AXIS_INDICES,
  type AxisIndex,
  type MutableAxes,
  placeOf,
} from "../../tensor/view.ts";

/** Elements of a piece: a millisecond or two where rows are short and far apart. */
const PIECE = 2 ** 18;

/** Pauses between pieces of work. */
export type Pieces = Generator<"work", void, void>;

/** Work on `n` elements in a row. */
export function* inPieces(n: number, work: (begin: number, end: number) => void): Pieces {
  for (let begin = 0; begin < n; begin += PIECE) {
    if (begin > 0) yield "work";
    work(begin, Math.min(n, begin + PIECE));
  }
}

interface Part {
  readonly begin: MutableAxes;
  readonly size: Axes;
}

/** A box as boxes of at most so many elements, cut along the first of `axes` that it takes. */
function* parts(size: Axes, axes: readonly AxisIndex[]): Generator<Part, void, void> {
  const all = size.reduce((product, n) => product * n, 1);
  const axis = axes.find((axis) => size[axis] > 1);
  if (all <= PIECE || axis === undefined) return yield { begin: [0, 0, 0, 0], size };
  const step = Math.max(1, Math.floor(PIECE / (all / size[axis])));
  for (let at = 0; at < size[axis]; at += step) {
    const part: MutableAxes = [...size];
    part[axis] = Math.min(step, size[axis] - at);
    for (const inner of parts(part, axes)) {
      inner.begin[axis] += at;
      yield inner;
    }
  }
}

/** Work on boxes of both sides in pieces, along the axes that are outermost in the target. */
function* boxInPieces(
  work: typeof copyBox,
  target: () => Side,
  source: () => Side,
  size: Axes,
): Pieces {
  const { strides } = target(), axes = [...AXIS_INDICES].sort((a, b) => strides[b] - strides[a]);
  const at = (side: Side, begin: Axes): Side => ({
    ...side,
    offset: side.offset + placeOf(begin, side.strides),
  });
  let first = true;
  for (const part of parts(size, axes)) {
    if (!first) yield "work";
    first = false;
    work(at(target(), part.begin), at(source(), part.begin), part.size);
  }
}

/** `copyBox` in pieces. */
export function copyInPieces(target: () => Side, source: () => Side, size: Axes): Pieces {
  return boxInPieces(copyBox, target, source, size);
}

/** `addBox` in pieces. */
export function addInPieces(target: () => Side, source: () => Side, size: Axes): Pieces {
  return boxInPieces(addBox, target, source, size);
}
