// The autotuner: before the first large call of a class, the tiles that the planner would consider are tried on the engine's
// own device, checked against the CPU and timed; the fastest is taken from then on, and remembered.
//
//   for each kernel of the call whose class is unknown
//     for each candidate, the usual one first, while there is time
//       right on a sample?  faster than the best by a margin?  ->  it is the best
import type { TileShape } from "../../../shaders/abi.ts";
import type { Backend } from "../../backend/backend.ts";
import {
  candidatesOf,
  chooseTile,
  tileClass,
  type TiledKernel,
  type TileNeeds,
  type TileTable,
  TUNED_FLOPS,
} from "../../plan/webgpu/tiles.ts";
import { problemCost } from "../../plan/cost.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { DeviceLostError } from "../../tensor/errors.ts";
import type { WebGpuBackend } from "../backend.ts";
import { TuneMemory, type TuneStore } from "./memory.ts";
import { makeSample, Trial } from "./trial.ts";

/** Milliseconds after which no further tile of a kernel is begun: compiling one takes some drivers a second. */
const LIMIT_MS = 4000;
/** Less of a gain is noise, and would make results differ from run to run for nothing. */
const MARGIN = 0.97;
/** Keys and queries of a sample: no multiple of any tile. */
const LENGTH = 1027;
/** A sample has so many times `TUNED_FLOPS`: work for a device that is large. */
const SAMPLE = { hardware: 8, software: 1 };

/** The kernels of a call that are tuned. */
function kernelsOf({ pass }: AttentionProblem): TiledKernel[] {
  return pass === "forward" ? ["forward"] : pass === "backward" ? ["dq", "dkv"] : [];
}

/** Tunes the kernels of one engine on one device. */
export class Tuner {
  readonly #gpu: WebGpuBackend;
  readonly #reference: () => Backend;
  readonly #memory: TuneMemory;
  readonly #settled = new Set<string>();
  #tiles: TileTable = {};
  /** Calls come at the same time; tiles are tried one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(gpu: WebGpuBackend, reference: () => Backend, store?: TuneStore) {
    this.#gpu = gpu;
    this.#reference = reference;
    this.#memory = new TuneMemory(gpu.target, store);
  }

  /** The device that is tuned. */
  get device(): WebGpuBackend {
    return this.#gpu;
  }

  /** Settles the tiles of a call. Rejects with `DeviceLostError` where the device goes away meanwhile. */
  prepare(problem: AttentionProblem): Promise<void> {
    const turn = this.#turn.then(() => this.#prepare(problem));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #prepare(problem: AttentionProblem): Promise<void> {
    const { headDim, valueDim, precision } = problem, { flops } = problemCost(problem);
    if (flops < TUNED_FLOPS) return;
    for (const kernel of kernelsOf(problem)) {
      const name = tileClass(kernel, problem);
      if (this.#settled.has(name)) continue;
      const needs = { headDim, valueDim, precision, flops },
        tiles = this.#candidates(kernel, needs);
      const known = this.#memory.find(name, tiles);
      if (!known) this.#memory.begin(name);
      const tile = known ? known.tile : await this.#search(kernel, name, tiles, problem);
      if (!known) this.#memory.keep(name, tile);
      this.#settled.add(name);
      if (!tile) continue;
      this.#tiles = { ...this.#tiles, [name]: tile };
      this.#gpu.retile(this.#tiles);
    }
  }

  /** The tiles that fit, the planner's own choice first. */
  #candidates(kernel: TiledKernel, needs: TileNeeds): TileShape[] {
    const { target } = this.#gpu, usual = JSON.stringify(chooseTile(kernel, needs, target));
    const tiles: TileShape[] = [];
    for (const tile of candidatesOf(kernel, needs, target)) {
      const alone = { ...target, tiles: { [tileClass(kernel, needs)]: tile } };
      const chosen = chooseTile(kernel, needs, alone), { nx, ny, tm, tn, chunk, depth } = tile;
      const got = chosen.tile, same = [got.nx, got.ny, got.tm, got.tn, got.chunk, got.depth].join();
      if (same !== [nx, ny, tm, tn, chunk, depth].join()) continue; // it does not fit
      if (JSON.stringify(chosen) === usual) tiles.unshift(tile);
      else tiles.push(tile);
    }
    return tiles;
  }

  /** The fastest tile; undefined where that is the usual one, or none could be tried. */
  async #search(
    kernel: TiledKernel,
    name: string,
    tiles: readonly TileShape[],
    problem: AttentionProblem,
  ): Promise<TileShape | undefined> {
    if (tiles.length < 2) return undefined;
    const { headDim, valueDim, precision } = problem;
    const pass = kernel === "forward" ? "forward" : "backward";
    const times = SAMPLE[this.#gpu.target.software ? "software" : "hardware"];
    const flops = 2 * LENGTH ** 2 * (headDim + valueDim);
    const heads = Math.ceil(1.01 * times * TUNED_FLOPS / flops);
    const sizes = { length: LENGTH, heads, headDim, valueDim, precision };
    const started = performance.now(), sample = await makeSample(pass, sizes, this.#reference());
    let best: TileShape | undefined, least = Infinity;
    for (const tile of tiles) {
      if (performance.now() - started > LIMIT_MS) break;
      const ms = await this.#time({ ...this.#tiles, [name]: tile }, sample);
      if (ms === undefined || ms >= MARGIN * least) continue;
      least = ms;
      best = tile;
    }
    return best === tiles[0] ? undefined : best;
  }

  /** Milliseconds of a sample; undefined where its results are wrong or its kernels were refused. */
  async #time(
    tiles: TileTable,
    sample: Awaited<ReturnType<typeof makeSample>>,
  ): Promise<number | undefined> {
    const { open } = this.#gpu;
    let trial: Trial | undefined;
    try {
      trial = new Trial(open, tiles, sample);
      return await trial.isRight() ? await trial.milliseconds() : undefined;
    } catch (error) {
      if (open.lost) throw new DeviceLostError("Cannot tune", open.lost);
      if (!(error instanceof Error)) throw error;
      return undefined; // refused, or out of memory: not this one
    } finally {
      trial?.dispose();
    }
  }
}
