/**
 * The ways to call the library that tests run on, behind one small interface. A new backend is one more entry of
 * `engineConfigurations`.
 */

import {
  type AnyTensor,
  attentionBackwardSync,
  type AttentionGradients,
  type AttentionResult,
  attentionSync,
  createEngine,
  type Engine,
  type EngineOptions,
  type HostTensor,
  type MaskTensor,
  UnsupportedError,
} from "../mod.ts";
import type { Case } from "./case.ts";
import type { Inputs } from "./inputs.ts";
import type { ReferenceOptions, TestTensor } from "./reference/problem.ts";
import { caseTaken, type Part, partTaken, variable } from "./selection.ts";
import { mapTuple } from "./tuples.ts";

/** Results of a forward pass in host memory. */
export interface ForwardResult {
  readonly out: TestTensor;
  readonly lse: TestTensor;
  readonly entropy?: TestTensor;
  readonly maxProbability?: TestTensor;
  readonly expectedKey?: TestTensor;
}

/** Results of a backward pass in host memory. */
export interface BackwardResult {
  readonly dq: TestTensor;
  readonly dk: TestTensor;
  readonly dv: TestTensor;
  readonly dBias?: TestTensor;
  readonly dAlibiSlopes?: TestTensor;
  readonly dSink?: TestTensor;
  /** Of all captured arrays, one behind the other. */
  readonly dCaptured?: TestTensor;
}

/** What a call needs; inputs of a case have it all. */
export type ForwardInputs = Pick<Inputs, "q" | "k" | "v" | "options">;
export type BackwardInputs = ForwardInputs & Pick<Inputs, "dOut" | "dLse" | "dEntropy">;

/** An open configuration. */
export interface Session extends AsyncDisposable {
  /** Whether this run takes a case here; `whole`: where it is not left to another run, whichever part it is in. */
  takes(c: Case, whole?: boolean): boolean;
  forward(inputs: ForwardInputs): Promise<ForwardResult>;
  backward(inputs: BackwardInputs, saved: ForwardResult): Promise<BackwardResult>;
}

/** The results of both passes. */
export async function bothPasses(
  session: Session,
  inputs: BackwardInputs,
): Promise<ForwardResult & BackwardResult> {
  const saved = await session.forward(inputs);
  return { ...saved, ...await session.backward(inputs, saved) };
}

/** A way to call the library. */
export interface Configuration {
  readonly name: string;
  /** Where it is not "core": the part of the tests that has it. */
  readonly part?: Part;
  /** Opens it, or says why this machine does not have it. */
  open(): Promise<Session | { readonly absent: string }>;
}

/** The CPU engine: threads and builds. */
export const wasmConfigurations: readonly Configuration[] = [1, 2].flatMap((threads) =>
  (["relaxed", "plain"] as const).map((simd) => {
    // each build and each number of threads is in the core once; synchronous calls are the first way there
    const part: Part = (threads > 1) === (simd === "plain") ? "rest" : "core";
    const open = async () => {
      const session = hostSession(await createEngine({ backend: "wasm", threads, simd }));
      return part === "rest" ? { ...session, takes: () => partTaken("rest") } : session;
    };
    return { name: `wasm, ${threads} thread${threads > 1 ? "s" : ""}, ${simd} SIMD`, part, open };
  })
);

/** The GPU engine on whatever adapter there is, software adapters too. */
export const gpuConfiguration: Configuration = {
  name: "webgpu",
  open: async () => {
    const engine = await openGpu();
    return "absent" in engine ? engine : hostSession(engine);
  },
};

/**
 * An engine on the GPU, or why this machine has none. Where FLASHTILE_GPU is "required", as in CI, having none fails:
 * a suite that is skipped must not look like one that passed.
 */
export async function openGpu(
  options: EngineOptions = {},
): Promise<Engine | { readonly absent: string }> {
  try {
    const engine = await createEngine({
      backend: "webgpu",
      allowFallbackAdapter: true,
      debug: true,
      ...options,
    });
    if (engine.backend !== "webgpu") throw new Error(`got ${engine.backend}`);
    return engine;
  } catch (error) {
    if (!(error instanceof UnsupportedError) || variable("FLASHTILE_GPU") === "required") {
      throw error;
    }
    return { absent: error.message };
  }
}

/** Asynchronous calls on host tensors, one entry for each backend and each way it can be set up. */
export const engineConfigurations: readonly Configuration[] = [
  ...wasmConfigurations,
  gpuConfiguration,
];

/** The synchronous calls. */
export const syncConfiguration: Configuration = {
  name: "attentionSync",
  open: () =>
    Promise.resolve({
      takes: (c) => caseTaken("wasm", c),
      forward: ({ q, k, v, options }) =>
        Promise.resolve(attentionSync(q, k, v, options)).then(hostForward),
      backward: (inputs, saved) =>
        Promise.resolve(
          attentionBackwardSync(inputs.dOut, savedOf(inputs, saved), backwardOptions(inputs)),
        ).then(hostBackward),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
};

/** Operands put into the engine's memory first, results read back. Takes packed operands only. */
export const residentConfigurations: readonly Configuration[] = [
  {
    name: "resident tensors, wasm",
    open: async () => residentSession(await createEngine({ backend: "wasm", threads: 2 })),
  },
  {
    name: "resident tensors, webgpu",
    open: async () => {
      const engine = await openGpu();
      return "absent" in engine ? engine : residentSession(engine);
    },
  },
];

/** Opens what this machine has; the others are said and left out. */
export async function openAll(configurations: readonly Configuration[]): Promise<OpenSessions> {
  const sessions = new Map<string, Session>();
  for (const { name, open } of configurations) {
    const session = await open();
    if ("absent" in session) console.log(`not run on ${name}: ${session.absent}`);
    else sessions.set(name, session);
  }
  return {
    sessions,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions.values()) await session[Symbol.asyncDispose]();
    },
  };
}

/** Open sessions by the names of their configurations. */
export interface OpenSessions extends AsyncDisposable {
  readonly sessions: ReadonlyMap<string, Session>;
}

/** A session that passes host tensors to an engine, and disposes of the engine at its end. */
export function hostSession(engine: Engine): Session {
  return {
    takes: (c, whole) => caseTaken(engine.backend, c, { whole }),
    forward: async ({ q, k, v, options }) => hostForward(await engine.attention(q, k, v, options)),
    backward: async (inputs, saved) =>
      hostBackward(
        await engine.attentionBackward(
          inputs.dOut,
          savedOf(inputs, saved),
          backwardOptions(inputs),
        ),
      ),
    [Symbol.asyncDispose]: () => Promise.resolve(engine.dispose()),
  };
}

function residentSession(engine: Engine): Session {
  const place = ({ data, shape, dtype }: TestTensor) => engine.tensor(data, shape, dtype);
  const placeMask = ({ data, shape, strides }: MaskTensor) =>
    engine.tensor({ data, shape, strides });
  /** Small tensors of options are put there as well, and masks. */
  const placeOptions = (options: ReferenceOptions, places: DisposableStack) => {
    const { alibiSlopes, sink, mask } = options;
    return {
      ...options,
      ...(mask ? { mask: places.use(placeMask(mask)) } : {}),
      ...(alibiSlopes ? { alibiSlopes: places.use(place(alibiSlopes)) } : {}),
      ...(sink ? { sink: places.use(place(sink)) } : {}),
    };
  };
  return {
    takes: (c, whole) => caseTaken(engine.backend, c, { resident: true, whole }),
    forward: async ({ q, k, v, options }) => {
      using places = new DisposableStack();
      const [rq, rk, rv] = mapTuple([q, k, v], (tensor) => places.use(place(tensor)));
      const placed = placeOptions(options, places);
      return await hostForward(await engine.attention(rq, rk, rv, placed));
    },
    backward: async (inputs, saved) => {
      using places = new DisposableStack();
      const { q, k, v, dOut } = inputs;
      const at = (tensor: TestTensor) => places.use(place(tensor));
      const { out, lse, entropy } = saved;
      const operands = {
        ...{ q: at(q), k: at(k), v: at(v), out: at(out), lse: at(lse) },
        ...(entropy ? { stats: { entropy: at(entropy) } } : {}),
      };
      return await hostBackward(
        await engine.attentionBackward(
          at(dOut),
          operands,
          placeOptions(backwardOptions(inputs), places),
        ),
      );
    },
    [Symbol.asyncDispose]: () => Promise.resolve(engine.dispose()),
  };
}

function savedOf({ q, k, v }: ForwardInputs, { out, lse, entropy }: ForwardResult) {
  return { q, k, v, out, lse, ...(entropy ? { stats: { entropy } } : {}) };
}

function backwardOptions(
  { options, dLse, dEntropy }: BackwardInputs,
): ReferenceOptions & { dLse?: TestTensor; dEntropy?: TestTensor } {
  return { ...options, ...(dLse ? { dLse } : {}), ...(dEntropy ? { dEntropy } : {}) };
}

export async function hostForward(
  { out, lse, stats }: AttentionResult<AnyTensor>,
): Promise<ForwardResult> {
  const home: Record<string, TestTensor> = {};
  for (const [name, tensor] of Object.entries({ out, lse, ...stats })) {
    home[name] = await bringHome(tensor as AnyTensor);
  }
  return home as unknown as ForwardResult;
}

async function hostBackward(
  { dCaptured, ...result }: AttentionGradients<AnyTensor, AnyTensor, AnyTensor>,
): Promise<BackwardResult> {
  const home: Record<string, TestTensor> = {};
  if (dCaptured) home["dCaptured"] = joined(dCaptured);
  for (const [name, tensor] of Object.entries(result)) {
    if (tensor !== undefined) home[name] = await bringHome(tensor as AnyTensor);
  }
  return home as unknown as BackwardResult;
}

/** Gradients of captured arrays, which have the shapes of these, in one. */
function joined(gradients: NonNullable<AttentionGradients["dCaptured"]>): TestTensor {
  const values = [...gradients].flatMap(([array, { data, shape }]) => {
    if (`${shape}` !== `${array.shape}`) {
      throw new Error(`gradient of [${array.shape}]: [${shape}]`);
    }
    return [...data];
  });
  return { data: Float32Array.from(values), shape: [values.length] };
}

/** A result in host memory, whichever memory it was in. Frees it there. */
async function bringHome(tensor: AnyTensor): Promise<TestTensor> {
  if (!("read" in tensor)) return hostTensor(tensor);
  const { shape, dtype } = tensor;
  const data = await tensor.read();
  tensor.dispose();
  return hostTensor({ data, shape, dtype });
}

/** Narrows a result of the library to what tests read. */
export function hostTensor({ data, shape, dtype, strides }: HostTensor): TestTensor {
  const isStorage = data instanceof Float32Array || data instanceof Uint16Array ||
    data instanceof Float16Array;
  if (!isStorage || dtype === "i8" || dtype === "bool" || dtype === "i32") {
    throw new Error(`no test has ${Deno.inspect(data)} as a result`);
  }
  return { data, shape, ...(dtype ? { dtype } : {}), ...(strides ? { strides } : {}) };
}
