// One tile on trial: on a backend of its own on the engine's device, against the results of the CPU, and against the clock.
import type { Backend, BackendResult } from "../../backend/backend.ts";
import type { TileTable, TunedTarget } from "../../plan/webgpu/tiles.ts";
import { type Call, describeBackward, describeForward } from "../../problem/problem.ts";
import type { Precision } from "../../problem/precision.ts";
import { uniforms } from "../../tensor/random.ts";
import type { HostTensor, Tensor } from "../../tensor/tensor.ts";
import { WebGpuBackend } from "../backend.ts";
import { OpenDevice } from "../device/device.ts";

/** Inputs of a trial, which are q, k, v and dOut. */
export interface TrialSizes {
  readonly length: number;
  readonly heads: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** That of the tiles: what they should give is computed in f32. */
  readonly precision: Precision;
}

/** A pass with what it should give. */
export interface Sample {
  readonly pass: "forward" | "backward";
  readonly precision: Precision;
  readonly inputs: Readonly<Record<string, HostTensor>>;
  readonly wanted: readonly HostTensor[];
}

/** Largest error, of the largest element: a kernel that is wrong is off by far more, a right one by 1e-6, or 1e-3 of halves. */
const CLOSE = { f32: 1e-4, f16: 2e-2 };
/**
 * Milliseconds of a batch of calls that are timed together, calls of it at most, and batches: one where a call takes
 * longer than `slow`.
 */
const BATCH = { ms: 4, most: 16, count: 4, slow: 100 };

function callOf(
  pass: Sample["pass"],
  { q, k, v, out, lse, dOut }: Readonly<Record<string, HostTensor | Tensor>>,
  precision: Precision = "f32",
): Call {
  return pass === "forward"
    ? describeForward(q!, k!, v!, { precision })
    : describeBackward(dOut!, { q: q!, k: k!, v: v!, out: out!, lse: lse! }, { precision });
}

/** Inputs by chance, and what the CPU makes of them. */
export async function makeSample(
  pass: Sample["pass"],
  { length, heads, headDim, valueDim, precision }: TrialSizes,
  reference: Backend,
): Promise<Sample> {
  const run = async (pass: Sample["pass"], inputs: Sample["inputs"]) => {
    const { problem, views } = callOf(pass, inputs);
    const results = await reference.run(problem, views, {});
    return results.map(({ tensor }) => tensor as HostTensor);
  };
  const [q, k, v, dOut] = [headDim, headDim, valueDim, valueDim]
    .map((dim, n): HostTensor => {
      return { data: uniforms(n + 1, length * heads * dim), shape: [1, length, heads, dim] };
    });
  let inputs: Record<string, HostTensor> = { q: q!, k: k!, v: v!, dOut: dOut! };
  const forward = await run("forward", inputs);
  if (pass === "forward") return { pass, precision, inputs, wanted: forward };
  const [out, lse] = forward;
  inputs = { ...inputs, out: out!, lse: lse! };
  return { pass, precision, inputs, wanted: await run("backward", inputs) };
}

/** Whether results are those that were wanted, but for rounding. */
function isClose(got: Float32Array, { data }: HostTensor, precision: Precision): boolean {
  const wanted = data as Float32Array;
  let largest = 0, error = 0;
  for (let i = 0; i < wanted.length; i++) {
    largest = Math.max(largest, Math.abs(wanted[i]!));
    const off = Math.abs(got[i]! - wanted[i]!);
    if (!(off <= error)) error = off; // NaN stays
  }
  return error <= CLOSE[precision === "f16" ? "f16" : "f32"] * largest;
}

/** Tiles on trial. */
export class Trial {
  readonly #backend: WebGpuBackend;
  readonly #resident: Tensor[] = [];
  readonly #call: Call;
  readonly #wanted: readonly HostTensor[];
  readonly #precision: Precision;

  constructor(open: OpenDevice, tiles: TileTable, { pass, precision, inputs, wanted }: Sample) {
    const target: TunedTarget = { ...open.target, tiles };
    const own = new OpenDevice(open.device, target, open.readBackMs);
    this.#backend = new WebGpuBackend(own, { memoryBudget: 2 ** 36, debug: true });
    this.#wanted = wanted;
    this.#precision = precision;
    const resident = Object.entries(inputs).map(([name, tensor]) => [name, this.#tensor(tensor)]);
    this.#call = callOf(pass, Object.fromEntries(resident), precision);
  }

  #tensor(values: HostTensor): Tensor {
    const tensor = this.#backend.empty(values.shape, "f32");
    this.#resident.push(tensor);
    tensor.write(values);
    return tensor;
  }

  #free(results: readonly BackendResult[]): void {
    for (const { tensor } of results) (tensor as Tensor).dispose();
  }

  /** Whether the tiles give what was wanted. Rejects when the device does not take their kernels. */
  async isRight(): Promise<boolean> {
    const { problem, views } = this.#call;
    const results = await this.#backend.run(problem, views, { resident: true });
    try {
      for (const [n, { tensor }] of results.entries()) {
        const got = await (tensor as Tensor).read() as Float32Array;
        if (!isClose(got, this.#wanted[n]!, this.#precision)) return false;
      }
      return true;
    } finally {
      this.#free(results);
    }
  }

  async #batch(calls: number): Promise<number> {
    const { problem, views } = this.#call, start = performance.now();
    for (let n = 0; n < calls; n++) this.#free(this.#backend.submit(problem, views));
    await this.#backend.synchronize();
    return (performance.now() - start) / calls;
  }

  /** Milliseconds of a call: of several, the least. */
  async milliseconds(): Promise<number> {
    const first = await this.#batch(1);
    const calls = Math.max(1, Math.min(BATCH.most, Math.ceil(BATCH.ms / first)));
    const count = first > BATCH.slow ? 1 : BATCH.count;
    let least = first;
    for (let n = 0; n < count; n++) least = Math.min(least, await this.#batch(calls));
    return least;
  }

  dispose(): void {
    for (const tensor of this.#resident) tensor.dispose();
    this.#backend.dispose();
  }
}
