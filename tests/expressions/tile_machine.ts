/** The tile interpreter by itself: programs on tiles of scores, in each of the ways in which kernels lay rows out. */

import { Sequence, Task } from "../../asm/abi.ts";
import type { EncodedProgram } from "../../src/expression/encoding.ts";
import type { Place } from "../../src/expression/symbols.ts";
import { compileAsm } from "../../tools/build/compile.ts";

/** What asm/expression/machine.ts exports. */
interface Exports {
  setUp(machine: number, task: number, program: number): number;
  setSums(machine: number, sums: number): void;
  setTile(machine: number, batch: number, key: number, keys: number, keysOfRow: number): void;
  runTile(
    ...args: [
      machine: number,
      sp: number,
      pitch: number,
      n: number,
      key: number,
      panel: number,
      vectors: number,
      slope: number,
      before: number,
    ]
  ): void;
  runQuery(
    ...args: [machine: number, batch: number, head: number, i: number, from: number, to: number]
  ): void;
  padOf(machine: number): number;
  slopeOf(machine: number): number;
}

/** A tile of scores: lanes are queries of heads, rows keys; [key][lane]. */
export interface Tile {
  readonly lanes: readonly { readonly query: number; readonly head: number }[];
  readonly key: number;
  readonly keys: number;
  readonly scores: Float32Array;
}

/** Scores of a tile as the program left them, natural units, and the slopes that it stored. */
export interface Ran {
  readonly scores: Float64Array;
  readonly slopes: Float32Array;
}

const LOG2E = Math.fround(Math.LOG2E);
/** Behind the static data of the module. */
const TASK = 65536, SEQUENCES = TASK + 1024, PANEL = SEQUENCES + 256, PROGRAM = PANEL + 256;

/** Opens the interpreter; plain SIMD, so that its bits are the same everywhere. */
export async function openTileMachine(): Promise<TileMachine> {
  const { binary } = await compileAsm("asm/expression/machine", [
    ...["--initialMemory", "64", "--maximumMemory", "64", "--noExportMemory"],
    ...["--enable", "simd,bulk-memory"],
  ]);
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 64 });
  const { exports } = await WebAssembly.instantiate(
    await WebAssembly.compile(binary),
    { env: { memory } },
  );
  return new TileMachine(memory, exports as unknown as Exports);
}

/** The interpreter with a memory. */
export class TileMachine {
  readonly #memory: WebAssembly.Memory;
  readonly #exports: Exports;

  constructor(memory: WebAssembly.Memory, exports: Exports) {
    this.#memory = memory;
    this.#exports = exports;
  }

  #i32(at: number, length: number): Int32Array<ArrayBuffer> {
    return new Int32Array(this.#memory.buffer as ArrayBuffer, at, length);
  }

  #f32(at: number, length: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.#memory.buffer as ArrayBuffer, at, length);
  }

  /** Puts a program and its arrays into memory; returns the address of the thread's scratch. */
  #load({ words, arrays }: EncodedProgram, place: Place, group: number): number {
    const task = this.#i32(TASK, 64).fill(0), sequence = SEQUENCES + place.batch * Sequence.Bytes;
    task[Task.Sequences / 4] = SEQUENCES;
    task[Task.GroupSize / 4] = group;
    const { lengthQ, lengthK, offset } = place;
    this.#i32(sequence, 3).set([lengthQ, lengthK, offset]);
    const filled = words.slice();
    let end = PROGRAM + words.byteLength + 64 & ~63;
    for (const { array: { data }, word } of arrays) {
      filled[word] = end += 16;
      this.#i32(end, data.length).set(new Int32Array(data.buffer, data.byteOffset, data.length));
      end = end + data.byteLength + 80 & ~63;
    }
    this.#i32(PROGRAM, words.length).set(filled);
    this.#exports.setUp(end, TASK, PROGRAM);
    return end;
  }

  /** Runs a program on a tile of eight lanes, or of four in decode's layout; tiles hold scores times `unit`. */
  run(program: EncodedProgram, place: Place, group: number, tile: Tile, unit: number = LOG2E): Ran {
    const { lanes, key, keys, scores } = tile, width = lanes.length;
    const machine = this.#load(program, place, group);
    const sp = machine + program.scratchBytes, bytes = (keys + 4) * width * 4, slope = sp + bytes;
    lanes.forEach(({ query, head }, lane) => {
      this.#i32(PANEL + 64, 8)[lane] = query + place.offset;
      this.#i32(PANEL + 96, 8)[lane] = head;
    });
    this.#f32(sp, scores.length).set(scores.map((s) => s * unit));
    this.#exports.setTile(machine, place.batch, key, keys, width === 8 ? 1 : 2);
    this.#exports.runTile(machine, sp, width * 4, keys, key, PANEL, width / 4, slope, 0);
    return {
      scores: Float64Array.from(this.#f32(sp, scores.length), (s) => s / unit),
      slopes: this.#f32(slope, scores.length).slice(),
    };
  }

  /**
   * Runs a program of gradients on eight lanes: `tile` holds dS, `before` the natural scores that the function was
   * given. Returns `count` sums.
   */
  sums(
    program: EncodedProgram,
    place: Place,
    group: number,
    tile: Tile,
    before: Float32Array,
    count: number,
  ): Float32Array {
    const { lanes, key, keys, scores } = tile, machine = this.#load(program, place, group);
    const bytes = (keys + 4) * 32, ds = machine + program.scratchBytes;
    const at = ds + bytes, sums = at + bytes;
    lanes.forEach(({ query, head }, lane) => {
      this.#i32(PANEL + 64, 8)[lane] = query + place.offset;
      this.#i32(PANEL + 96, 8)[lane] = head;
    });
    this.#f32(ds, scores.length).set(scores);
    this.#f32(at, before.length).set(before.map((s) => s * LOG2E));
    this.#f32(sums, count).fill(0);
    this.#exports.setSums(machine, sums);
    this.#exports.setTile(machine, place.batch, key, keys, 1);
    this.#exports.runTile(machine, ds, 32, keys, key, PANEL, 2, 0, at);
    return this.#f32(sums, count).slice();
  }

  /** Runs it score by score, as repair does. */
  runByOne(program: EncodedProgram, place: Place, group: number, tile: Tile): Ran {
    const { lanes, key, scores } = tile, machine = this.#load(program, place, group);
    const results = new Float64Array(scores.length), slopes = new Float32Array(scores.length);
    scores.forEach((score, n) => {
      const { query, head } = lanes[n % lanes.length]!, j = key + Math.floor(n / lanes.length);
      this.#f32(this.#exports.padOf(machine), 16).fill(score * LOG2E);
      this.#exports.runQuery(machine, place.batch, head, query, j, j + 1);
      results[n] = this.#f32(this.#exports.padOf(machine), 1)[0]! / LOG2E;
      slopes[n] = this.#f32(this.#exports.slopeOf(machine), 1)[0]!;
    });
    return { scores: results, slopes };
  }
}
