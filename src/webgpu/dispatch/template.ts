// Calls of one form: what a call needs that depends on no tensor (its plan, its steps, what it writes into scratch) is kept,
// and filled with the buffers of the next call of that form. A network asks for the same attention in each of its
// layers, and a training loop in each of its steps; planning them takes longer than recording.
import { feature } from "../../problem/features/table.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { BufferName } from "../../../shaders/parts/bindings.ts";
import type { GpuBuffer } from "../device/api.ts";
import { Scratch, type ScratchBuffer } from "../device/scratch.ts";
import { GpuTensor, type Home } from "../device/tensors.ts";
import type { Bound, Step } from "./dispatch.ts";

/** Forms that are kept. */
export const MOST_FORMS = 64;
/** Bytes that a form may write into scratch, and page numbers in a form: more take longer to compare than to make again. */
const MOST_BYTES = 2 ** 16;
const MOST_PAGES = 256;

/** What a call wrote into its scratch, from the begin of a buffer on. */
export interface Written {
  readonly buffer: GpuBuffer;
  readonly data: Int32Array<ArrayBuffer>;
}

/** A binding whose buffer is the `role`-th of a call: its inputs, results and scratch, in this order. */
interface Slot {
  readonly name: BufferName;
  readonly role: number;
  readonly offset: number;
  readonly size: number;
}

/** What calls of a form have in common. */
export interface Template {
  readonly scratch: readonly number[];
  readonly written: readonly { readonly role: number; readonly data: Int32Array<ArrayBuffer> }[];
  readonly steps: readonly (Omit<Step, "bindings"> & { readonly slots: readonly Slot[] })[];
}

/** What is kept of a form: with the parameters of all its dispatches. */
export interface KeptForm {
  readonly template: Template;
  readonly params: Uint32Array<ArrayBuffer>;
}

/** Features that are in the form of a call with all they are: numbers. */
function isPlain(name: AttentionProblem["features"][number]["name"]): boolean {
  const { operands, traced, stage, perScore } = feature(name);
  return !operands?.length && !traced && stage !== "load" && !(stage === "hide" && perScore);
}

/**
 * The form of a call: equal for calls that differ in what their tensors hold and in which buffers, and in nothing else.
 * Undefined for calls that are not kept: those with operands on the host, which they upload, and with features that
 * bring more than numbers.
 */
export function formOf(problem: AttentionProblem, views: Views): string | undefined {
  const pages = problem.operands.k?.pages;
  if (pages && pages.numbers.length > MOST_PAGES) return undefined;
  if (!problem.features.every(({ name }) => isPlain(name))) return undefined;
  const buffers: GpuBuffer[] = [];
  let places = "";
  for (const { tensor, offset, pages } of Object.values(views)) {
    if (!(tensor instanceof GpuTensor)) return undefined;
    if (pages) places += ` of ${tensor.byteLength}`; // bound whole: nothing else says how many pages there are
    // two operands of one buffer are not those of two
    let at = buffers.indexOf(tensor.buffer);
    if (at < 0) at = buffers.push(tensor.buffer) - 1;
    places += ` ${at} ${offset} ${tensor.byteOffset}`;
  }
  return (pages ? cachedText(problem) : JSON.stringify(problem)) + places;
}

/** A problem whose k and v lie in a cache, as text: page numbers by themselves, since JSON takes arrays of types apart. */
function cachedText(problem: AttentionProblem): string {
  let numbers = "";
  const operands = Object.entries(problem.operands).map(([name, { pages, ...spec }]) => {
    if (!pages) return [name, spec];
    const { numbers: table, ...sizes } = pages;
    numbers += ` ${name} ${table.join()}`;
    return [name, spec, sizes];
  });
  return JSON.stringify({ ...problem, operands }) + numbers;
}

/** Buffers of the inputs and results of a call, each once. */
export function outerBuffers(
  views: Views,
  results: readonly { readonly buffer: GpuBuffer }[],
): GpuBuffer[] {
  const inputs = Object.values(views).map(({ tensor }) => (tensor as GpuTensor).buffer);
  return [...new Set([...inputs, ...results.map(({ buffer }) => buffer)])];
}

/** A kernel that was made for the first call of its form; its text holds on to that call. */
const made = (key: string) => ({
  key,
  code(): never {
    throw new Error(`the kernel "${key}" was made before`);
  },
});

/** What may be kept of a call; undefined where it wrote much, or binds what is not its own. */
export function templateOf(
  outer: readonly GpuBuffer[],
  scratch: readonly ScratchBuffer[],
  written: readonly Written[],
  steps: readonly Step[],
): Template | undefined {
  if (written.reduce((sum, { data }) => sum + data.byteLength, 0) > MOST_BYTES) return undefined;
  const all = [...outer, ...scratch.map(({ buffer }) => buffer)];
  const roles = new Map(all.map((buffer, role) => [buffer, role]));
  const kept = steps.map(({ bindings, kernel, ...step }) => ({
    ...step,
    kernel: made(kernel.key),
    slots: Object.entries(bindings).map(([name, { buffer, offset, size }]): Slot => {
      return { name: name as BufferName, role: roles.get(buffer) ?? -1, offset, size };
    }),
  }));
  if (kept.some(({ slots }) => slots.some(({ role }) => role < 0))) return undefined;
  return {
    scratch: scratch.map(({ bytes }) => bytes),
    written: written.map(({ buffer, data }) => ({ role: roles.get(buffer)!, data })),
    steps: kept,
  };
}

/** A call of a form that is known, with buffers of its own. */
export class RepeatedCall {
  readonly #home: Home;
  readonly #template: Template;
  readonly #outer: readonly GpuBuffer[];
  readonly #scratch: Scratch;

  constructor(home: Home, template: Template, outer: readonly GpuBuffer[]) {
    this.#home = home;
    this.#template = template;
    this.#outer = outer;
    this.#scratch = new Scratch(home.memory);
  }

  /** Scratch that lives as long as the call. */
  scratch(bytes: number): GpuBuffer {
    return this.#scratch.take(bytes);
  }

  /** Every dispatch of the call, in order. */
  steps(): Step[] {
    const { scratch, written, steps } = this.#template, { queue } = this.#home.open.device;
    const all = [...this.#outer, ...scratch.map((bytes) => this.scratch(bytes))];
    for (const { role, data } of written) queue.writeBuffer(all[role]!, 0, data);
    return steps.map(({ slots, ...step }): Step => {
      const bindings: { [name in BufferName]?: Bound } = {};
      for (const { name, role, offset, size } of slots) {
        bindings[name] = { buffer: all[role]!, offset, size };
      }
      return { ...step, bindings };
    });
  }

  /** Gives the scratch back: after the last submission that uses it. */
  dispose(): void {
    this.#scratch.give();
  }
}
