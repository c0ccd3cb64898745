// Calls on TensorFlow.js' WebGPU backend, on its device: operands are its buffers, results are written into buffers that it
// owns and frees, and nothing is read back.
import type { Engine } from "../engine/engine.ts";
import { gpuOf } from "../engine/gpu_of.ts";
import type { CallOptions } from "../problem/call_options.ts";
import { backwardCall, forwardCall } from "../problem/into.ts";
import { learnedOf } from "../problem/learned.ts";
import type { Call } from "../problem/problem.ts";
import { Complaint, UnsupportedError } from "../tensor/errors.ts";
import type { AnyTensor, MaskTensor, Tensor } from "../tensor/tensor.ts";
import { WebGpuBackend } from "../webgpu/backend.ts";
import type { GpuAdapterInfo, GpuBuffer, GpuDevice } from "../webgpu/device/api.ts";
import { openDevice } from "../webgpu/device/device.ts";
import { BytePacker } from "./pack_bytes.ts";
import {
  type CapturedFloats,
  gradientName,
  type Gradients,
  type Inputs,
  learnedInputs,
  type LearnedName,
  resultShapes,
  type Runner,
  type SavedInputs,
  withTensors,
} from "./runner.ts";
import type { TfEngine, TfTensor, TfTensorInfo, TfValues } from "./tensorflow.ts";

/** What the backend knows of a tensor. */
interface TfData {
  /** Values that are in host memory too, or only there. */
  readonly values?: TfValues | null;
  readonly resource?: GpuBuffer | null;
}

/** The WebGPU backend, as much of it as is used. */
interface TfGpu {
  readonly device: GpuDevice;
  /** Work that was recorded and not submitted. */
  readonly commandEncoder: object | null;
  readonly tensorMap: { get(dataId: object): TfData };
  makeTensorInfo(shape: number[], dtype: string): TfTensorInfo;
  uploadToGPU(dataId: object): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** Bytes that this library may take of the device beside what TensorFlow.js has. */
const BUDGET = 2 ** 36;

/** The runner of a backend; throws where its device computes wrongly. */
export async function openGpu(engine: TfEngine, backend: object): Promise<Runner> {
  const gpu = backend as TfGpu, { device } = gpu;
  const found = await openDevice(device, device.adapterInfo as GpuAdapterInfo | undefined);
  if ("absent" in found) {
    const remedy = `${found.absent}; use tf.setBackend("wasm")`;
    throw new UnsupportedError("flashAttention", engine.backendName, remedy);
  }
  const own = new WebGpuBackend(found.open, { memoryBudget: BUDGET, debug: false });
  return new GpuRunner(engine, gpu, () => own);
}

/** The runner of a backend on an engine of the caller's; throws where that is on another device, at each call as well. */
export function openOn(
  engine: TfEngine,
  backend: object,
  own: Engine,
  action: string,
): Runner {
  const gpu = backend as TfGpu;
  const find = (action: string): WebGpuBackend => {
    const found = gpuOf(own); // another one after a loss
    if (found?.open.device === gpu.device) return found;
    const computes = found ? "another device" : own.reason;
    throw new Complaint(action).range(
      `engine computes on ${computes} but must be on the device of TensorFlow.js: ` +
        "createEngine({ device: tf.backend().device })",
    );
  };
  find(action);
  return new GpuRunner(engine, gpu, () => find("flashAttention"));
}

/** Runs calls in the buffers of the backend. */
class GpuRunner implements Runner {
  readonly #engine: TfEngine;
  readonly #gpu: TfGpu;
  readonly #find: () => WebGpuBackend;
  readonly #packer: BytePacker;

  constructor(engine: TfEngine, gpu: TfGpu, find: () => WebGpuBackend) {
    this.#engine = engine;
    this.#gpu = gpu;
    this.#find = find;
    this.#packer = new BytePacker(gpu.device);
  }

  /** The backend of the library on that device. */
  get #own(): WebGpuBackend {
    return this.#find();
  }

  /** The buffer of a tensor. */
  #buffer({ dataId }: TfTensor): GpuBuffer {
    this.#gpu.tensorMap.get(dataId); // moves the values of another backend here
    this.#gpu.uploadToGPU(dataId);
    return this.#gpu.tensorMap.get(dataId).resource!;
  }

  /** A tensor as the library sees it. */
  #view(tensor: TfTensor): AnyTensor {
    const { shape, size } = tensor;
    if (size === 0) return { data: new Float32Array(0), shape };
    return this.#own.wrap(this.#buffer(tensor), shape, "f32", 0);
  }

  /** Room for a result, in a tensor that TensorFlow.js owns. */
  #empty(shape: readonly number[]): TfTensor {
    if (shape.includes(0)) {
      return this.#engine.makeTensor(new Float32Array(0), [...shape], "float32");
    }
    const info = this.#gpu.makeTensorInfo([...shape], "float32");
    return this.#engine.makeTensorFromTensorInfo(info);
  }

  /** A mask: 32 bits an element on this backend, a byte in the library. */
  #mask(tensor: TfTensor, taken: Tensor[]): AnyTensor | MaskTensor {
    const { values } = this.#gpu.tensorMap.get(tensor.dataId), { shape, size } = tensor;
    if (values || size === 0) return { data: Uint8Array.from(values ?? []), shape };
    const packed = this.#own.empty(shape, "bool"), wide = this.#buffer(tensor);
    taken.push(packed);
    this.#flush();
    this.#packer.run(wide, packed.buffer as unknown as GpuBuffer, size);
    return packed;
  }

  /** Submits what the backend has recorded: what is submitted here comes after it. */
  #flush(): void {
    if (!this.#gpu.commandEncoder) return;
    this.#gpu.endComputePassEncoder();
    this.#gpu.submitQueue();
  }

  /** Submits a call with results in `into`; the results that have no place there. */
  #run(
    into: Readonly<Record<string, TfTensor>>,
    describe: (view: (tensor: TfTensor) => AnyTensor, into: Record<string, AnyTensor>) => Call,
  ): {
    readonly rest: ReadonlyMap<string, Tensor>;
    readonly features: Call["problem"]["features"];
  } {
    const taken: Tensor[] = [];
    const view = (tensor: TfTensor) =>
      tensor.dtype === "bool" ? this.#mask(tensor, taken) as AnyTensor : this.#view(tensor);
    try {
      const places = Object.entries(into).filter(([, { size }]) => size > 0)
        .map(([name, tensor]) => [name, this.#view(tensor)] as const);
      const call = describe(view, Object.fromEntries(places));
      this.#flush();
      const results = this.#own.submit(call.problem, call.views, call.into);
      const rest = results.filter(({ name }) => !(call.into && name in call.into));
      const kept = rest.map(({ name, tensor }) => [name, tensor as Tensor] as const);
      return { rest: new Map(kept), features: call.problem.features };
    } finally {
      for (const tensor of taken) tensor.dispose();
    }
  }

  forward(inputs: Inputs, options: CallOptions): { out: TfTensor; lse: TfTensor } {
    const shapes = resultShapes(inputs, options);
    const results = { out: this.#empty(shapes.out), lse: this.#empty(shapes.lse) };
    const { rest } = this.#run(results, (view, into) => {
      const given = { ...withTensors(inputs, options, view), into };
      return forwardCall(view(inputs.q), view(inputs.k), view(inputs.v), given);
    });
    for (const tensor of rest.values()) tensor.dispose();
    return results;
  }

  backward(inputs: SavedInputs, options: CallOptions): Gradients {
    const made: { [name in LearnedName]?: TfTensor } = {}, into: Record<string, TfTensor> = {};
    for (const name of learnedInputs(inputs)) {
      into[gradientName(name)] = made[name] = this.#empty(inputs[name]!.shape);
    }
    const { rest, features } = this.#run(into, (view, into) => {
      const saved = {
        ...{ q: view(inputs.q), k: view(inputs.k), v: view(inputs.v) },
        ...{ out: view(inputs.out), lse: view(inputs.lse) },
      };
      return backwardCall(view(inputs.dOut), saved, {
        ...withTensors(inputs, options, view),
        into,
      });
    });
    const all = rest.get("dCaptured");
    const arrays = all ? learnedOf(features) as unknown as CapturedFloats[] : [];
    const captured = all ? this.#cut(all, arrays) : new Map();
    for (const tensor of rest.values()) tensor.dispose();
    return { inputs: made, captured };
  }

  /** The gradients of captured arrays, which lie one behind the other. */
  #cut(all: Tensor, arrays: readonly CapturedFloats[]): Map<CapturedFloats, TfTensor> {
    const encoder = this.#gpu.device.createCommandEncoder();
    const from = all.buffer as unknown as GpuBuffer, cut = new Map<CapturedFloats, TfTensor>();
    let at = 0;
    for (const array of arrays) {
      const tensor = this.#empty(array.shape), bytes = 4 * array.data.length;
      if (bytes > 0) encoder.copyBufferToBuffer(from, at, this.#buffer(tensor), 0, bytes);
      at += bytes;
      cut.set(array, tensor);
    }
    this.#gpu.device.queue.submit([encoder.finish()]);
    return cut;
  }
}
