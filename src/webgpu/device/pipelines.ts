// Pipelines by variant. Bind group layouts are explicit and read off the shader text, so that two variants with
// the same bindings share one, and groups can be made without asking the pipeline.
import { COMPUTE_STAGE, type GpuDevice } from "./api.ts";
import { Recent } from "./recent.ts";

/** A kernel that a step runs: its key, and its text when it has to be made. */
export interface Kernel {
  readonly key: string;
  code(): string;
}

/** A pipeline with what binding needs. */
export interface Pipeline {
  readonly pipeline: object;
  readonly layout: object;
  /** Binding numbers of its storage buffers. */
  readonly storage: readonly number[];
}

/** One buffer of a bind group. */
export interface GroupEntry {
  readonly binding: number;
  readonly resource: { readonly buffer: object; readonly offset: number; readonly size: number };
}

/** Bind groups that are kept: those of a few different calls. */
const MOST_GROUPS = 128;

const BINDING =
  /@binding\((\d+)\) var<storage, (read_write|read)> \w+: array<([^;]+)>;|@binding\((\d+)\) var<uniform>/g;

/** Bytes of an element, the least that is bound. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  ...{ "f32": 4, "u32": 4, "vec2<u32>": 8, "vec2<f32>": 8, "vec4<f32>": 16 },
};

/** A binding as a layout wants it. */
interface Entry {
  readonly binding: number;
  readonly type: string;
  readonly least: number;
}

/** Bindings of a shader, as a layout wants them. */
function entriesOf(code: string): Entry[] {
  return [...code.matchAll(BINDING)].map(([, storage, access, element, uniform]) => {
    if (uniform !== undefined) return { binding: Number(uniform), type: "uniform", least: 0 };
    const type = access === "read_write" ? "storage" : "read-only-storage";
    // said in the layout: two kernels with one layout would be checked against the size of the first (wgpu)
    return { binding: Number(storage), type, least: ELEMENT_BYTES[element!]! };
  });
}

/** The pipelines of a device. */
export class Pipelines {
  readonly #device: GpuDevice;
  readonly #made = new Map<string, Pipeline>();
  readonly #coming = new Map<string, Promise<Pipeline>>();
  readonly #layouts = new Map<string, { group: object; pipeline: object }>();

  readonly #groups = new Recent<object>(MOST_GROUPS);
  /** Numbers of buffers and layouts, for keys. */
  readonly #ids = new WeakMap<object, number>();
  #nextId = 0;

  constructor(device: GpuDevice) {
    this.#device = device;
  }

  #id(object: object): number {
    let id = this.#ids.get(object);
    if (id === undefined) this.#ids.set(object, id = this.#nextId++);
    return id;
  }

  /** A bind group; calls on the same buffers, as in a training loop, find theirs again. */
  group(layout: object, entries: readonly GroupEntry[]): object {
    let key = `${this.#id(layout)}`;
    for (const { resource: { buffer, offset, size } } of entries) {
      key += ` ${this.#id(buffer)} ${offset} ${size}`;
    }
    let group = this.#groups.get(key);
    if (!group) this.#groups.set(key, group = this.#device.createBindGroup({ layout, entries }));
    return group;
  }

  /** Number of pipelines made so far. */
  get count(): number {
    return this.#made.size;
  }

  #layout(entries: readonly Entry[]): { group: object; pipeline: object } {
    const key = entries.map((entry) => Object.values(entry).join(" ")).join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      const group = this.#device.createBindGroupLayout({
        entries: entries.map(({ binding, type, least }) => ({
          binding,
          visibility: COMPUTE_STAGE,
          buffer: { type, hasDynamicOffset: type === "uniform", minBindingSize: least },
        })),
      });
      const pipeline = this.#device.createPipelineLayout({ bindGroupLayouts: [group] });
      this.#layouts.set(key, layout = { group, pipeline });
    }
    return layout;
  }

  #descriptor({ key, code }: Kernel): { descriptor: object; rest: Omit<Pipeline, "pipeline"> } {
    const text = code(), entries = entriesOf(text), layout = this.#layout(entries);
    const module = this.#device.createShaderModule({ code: text, label: key });
    return {
      descriptor: { label: key, layout: layout.pipeline, compute: { module, entryPoint: "main" } },
      rest: {
        layout: layout.group,
        storage: entries.filter(({ type }) => type !== "uniform").map(({ binding }) => binding),
      },
    };
  }

  /** A pipeline, made now if it has to be: for calls that may not wait. */
  get(kernel: Kernel): Pipeline {
    let made = this.#made.get(kernel.key);
    if (!made) {
      const { descriptor, rest } = this.#descriptor(kernel);
      made = { pipeline: this.#device.createComputePipeline(descriptor), ...rest };
      this.#made.set(kernel.key, made);
    }
    return made;
  }

  /** Makes the pipelines that are missing, all at the same time. */
  async prepare(kernels: readonly Kernel[]): Promise<void> {
    const missing = kernels.filter(({ key }) => !this.#made.has(key));
    if (missing.length > 0) await Promise.all(missing.map((kernel) => this.#make(kernel)));
  }

  #make(kernel: Kernel): Promise<Pipeline> {
    const { key } = kernel;
    let coming = this.#coming.get(key);
    if (!coming) {
      const { descriptor, rest } = this.#descriptor(kernel);
      coming = this.#device.createComputePipelineAsync(descriptor).then((pipeline) => {
        const made = { pipeline, ...rest };
        this.#made.set(key, made);
        return made;
      }, (error) => {
        throw new Error(`The GPU did not take the kernel "${key}": ${(error as Error).message}`);
      }).finally(() => this.#coming.delete(key));
      this.#coming.set(key, coming);
    }
    return coming;
  }
}
