// Copying boxes of tensors between arrays of any strides, in the longest runs that both sides allow.
import { type Axes, AXIS_INDICES } from "./view.ts";

/** Arrays that hold elements of one kind. */
export type Elements = Float32Array | Uint16Array | Uint8Array | Int8Array | Int32Array;

/** One side of a copy: where element (0, 0, 0, 0) lies and how far apart the indices are, in elements. */
export interface Side {
  readonly array: Elements;
  readonly offset: number;
  readonly strides: Axes;
}

/** Runs shorter than this are copied by a loop: `set(subarray)` costs about as much as 100 elements. */
const SHORT_RUN = 96;

/** What is done with runs of elements of both sides. */
type Run = (to: Elements, at: number, from: Elements, start: number, n: number) => void;

function addRun(to: Elements, at: number, from: Elements, start: number, n: number): void {
  for (let i = 0; i < n; i++) to[at + i]! += from[start + i]!;
}

function copyRun(to: Elements, at: number, from: Elements, start: number, n: number): void {
  if (n >= SHORT_RUN) to.set(from.subarray(start, start + n), at);
  else for (let i = 0; i < n; i++) to[at + i] = from[start + i]!;
}

/** Copies `size` elements along four axes. Strides of 0 on the source repeat it. */
export function copyBox(target: Side, source: Side, size: Axes): void {
  inRuns(copyRun, target, source, size);
}

/** Adds them to those of the target instead. */
export function addBox(target: Side, source: Side, size: Axes): void {
  inRuns(addRun, target, source, size);
}

function inRuns(work: Run, target: Side, source: Side, size: Axes): void {
  if (size.some((n) => n === 0)) return;
  // outermost axis of the target first; axes of one element drop out
  const order = AXIS_INDICES.filter((axis) => size[axis] > 1)
    .sort((a, b) => target.strides[b] - target.strides[a]);
  // axes that continue each other on both sides are one run
  let run = 1;
  while (order.length > 0) {
    const axis = order[order.length - 1]!;
    if (target.strides[axis] !== run || source.strides[axis] !== run) break;
    run *= size[axis];
    order.pop();
  }
  const visit = (depth: number, at: number, start: number): void => {
    if (depth === order.length) {
      work(target.array, at, source.array, start, run);
      return;
    }
    const axis = order[depth]!,
      n = size[axis],
      step = target.strides[axis],
      skip = source.strides[axis];
    for (let i = 0; i < n; i++) visit(depth + 1, at + i * step, start + i * skip);
  };
  visit(0, target.offset, source.offset);
}
