// Never run, only compiled, with no library but es2023 (and Symbol.dispose): neither Deno's types nor the DOM's may be needed
// to call flashtile. The @ts-expect-error lines fail when a type has silently become `any`.
import {
  attention,
  attentionBackwardSync,
  type AttentionOptions,
  attentionSync,
  type BlockMask,
  blockMaskFromLists,
  createBlockMask,
  createEngine,
  type Engine,
  type EngineOptions,
  type HostTensor,
  masks,
  type Tensor,
  UnsupportedError,
} from "@flashtile/attention";
import {
  fromOnnxRuntime,
  type OnnxRuntimeModule,
  toOnnxRuntime,
} from "@flashtile/attention/interop";
import { kernelBytes, type SimdLevel } from "@flashtile/attention/kernels";
import { checkGradients, type GradientReport } from "@flashtile/attention/check";
import { type CliHost, main } from "@flashtile/attention/cli";
import { onnxAttention, type OnnxAttentionOptions } from "@flashtile/attention/onnx";
import { createFlashAttention, type TensorFlow, type TfTensor } from "@flashtile/attention/tfjs";

const q: HostTensor = { data: new Float32Array(64), shape: [1, 4, 2, 8] };
const options: AttentionOptions = { causal: "top-left", window: { left: 2 }, softcap: 30 };

export async function host(): Promise<HostTensor> {
  const { out, lse } = await attention(q, q, q, options);
  const shape: readonly number[] = lse.shape;
  // @ts-expect-error: host tensors give host tensors, which have no read()
  out.read();
  // @ts-expect-error: a shape is numbers
  const wrong: readonly string[] = shape;
  return wrong.length ? lse : out;
}

export async function resident(settings: EngineOptions): Promise<Float32Array | Uint16Array> {
  const engine: Engine = await createEngine(settings);
  const k: Tensor = engine.tensor(new Float32Array(64), [1, 4, 2, 8], "f32");
  const { out } = engine.attentionSync(k, k, k);
  return await out.read();
}

export function blocks(list: { offsets: Int32Array; columns: Int32Array }): AttentionOptions[] {
  const sizes = { lengthQ: 4, lengthK: 4, blockSize: [2, 4] as const };
  const made: BlockMask = createBlockMask(masks.causal(), { ...sizes, queryHeads: 2 });
  const { empty, full }: { empty: number; full: number } = made.describe([0, 2], [0, 4]);
  const listed = blockMaskFromLists({ ...sizes, full: list, partial: list });
  // @ts-expect-error: a mask function is no block mask
  const wrong: AttentionOptions = { blockMask: masks.causal() };
  // @ts-expect-error: a block mask is no mask function
  const other: AttentionOptions = { maskMod: listed };
  return empty + full > 0 ? [{ blockMask: made }] : [wrong, other];
}

export async function operator(engine: Engine): Promise<Float32Array> {
  const options: OnnxAttentionOptions<"Y" | "present_key"> = { engine, outputs: ["Y"] };
  const inputs = { Q: { ...q, data: new Float32Array(64) }, K: q, V: q };
  const { Y, present_key } = await onnxAttention(inputs, { is_causal: 1 }, options);
  const shape: readonly number[] = present_key.shape;
  // @ts-expect-error: Y alone was asked for
  (await onnxAttention(inputs)).present_value.shape;
  // @ts-expect-error: no attribute of the operator
  await onnxAttention(inputs, { causal: 1 });
  return shape.length ? Y.data : new Float32Array();
}

export function elsewhere(ort: OnnxRuntimeModule<{ dispose(): void }>, engine: Engine): Tensor {
  const foreign = { location: "gpu-buffer", type: "float32", dims: [1], gpuBuffer: {} };
  const mine: Tensor = fromOnnxRuntime(engine, foreign);
  toOnnxRuntime(ort, mine).dispose();
  // @ts-expect-error: tensors in host memory have no buffer to hand over
  toOnnxRuntime(ort, q);
  return mine;
}

export async function commandLine(host: CliHost): Promise<number> {
  // @ts-expect-error: arguments are words
  await main("info");
  return await main(["info", "--json"], host);
}

export async function checked(): Promise<readonly string[]> {
  const report: GradientReport = await checkGradients(attentionSync, attentionBackwardSync, {
    sizes: { lengthK: "lengthQ" },
    options: ["causal", "bias"],
  });
  // @ts-expect-error: an attention has gradients
  await checkGradients(attentionSync);
  // @ts-expect-error: not a name of an option
  await checkGradients(attentionSync, attentionBackwardSync, { options: ["casual"] });
  return report.findings.map(({ diagnosis }) => diagnosis.text);
}

export function bytes(level: SimdLevel): Uint8Array {
  return kernelBytes(level);
}

export function remedy(error: unknown): string {
  return error instanceof UnsupportedError ? error.remedy : "";
}

// @ts-expect-error: three tensors are needed
export const tooFew = (): unknown => attentionSync(q, q);
// @ts-expect-error: not a name of an option
export const misspelt: AttentionOptions = { casual: true };
// @ts-expect-error: not a form of causal
export const unknownForm: AttentionOptions = { causal: "diagonal" };
// @ts-expect-error: threads is a number
export const notANumber: EngineOptions = { threads: "2" };

/** With what a copy of TensorFlow.js has, whether or not its package is installed. */
export async function op<T extends TfTensor>(tf: TensorFlow<T>, x: T): Promise<T> {
  const flashAttention = await createFlashAttention(tf);
  // @ts-expect-error: a sink is a tensor
  flashAttention(x, x, x, { sink: 1 });
  return flashAttention(x, x, x, { causal: true, bias: x, keyLengths: [3] });
}
