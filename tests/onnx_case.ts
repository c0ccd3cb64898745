/** Reads a case of the ONNX project: inputs, attributes, and the outputs that it must give. */

import type { OnnxAttentionAttributes, OnnxAttentionInputs, OnnxOpset } from "../src/onnx.ts";
import type { StorageType } from "./half.ts";
import type { TestTensor } from "./reference/problem.ts";

interface Entry {
  readonly shape: readonly number[];
  readonly dtype: "float32" | "float16" | "bfloat16" | "bool" | "int64";
  readonly file: string;
}

/** What `case.json` holds. */
interface Description {
  readonly opset: OnnxOpset;
  readonly attributes: OnnxAttentionAttributes;
  readonly inputs: Readonly<Record<string, Entry | undefined>>;
  readonly outputs: Readonly<Record<string, Entry | undefined>>;
}

/** A call of the operator and what it must give. */
export interface OnnxCase {
  readonly opset: OnnxOpset;
  readonly attributes: OnnxAttentionAttributes;
  readonly inputs: OnnxAttentionInputs;
  readonly outputs: Readonly<Record<string, TestTensor>>;
}

/** Reads the case in a folder. */
export function readOnnxCase(folder: URL): OnnxCase {
  const text = Deno.readTextFileSync(new URL("case.json", folder));
  const { opset, attributes, inputs, outputs }: Description = JSON.parse(text);
  const read = (entries: Description["inputs"]) =>
    Object.fromEntries(
      Object.entries(entries).flatMap(([name, entry]) =>
        entry ? [[name, readEntry(folder, entry)]] : []
      ),
    );
  return {
    opset,
    attributes,
    inputs: read(inputs) as unknown as OnnxAttentionInputs,
    outputs: read(outputs) as unknown as OnnxCase["outputs"],
  };
}

/** Names of 16-bit types here. */
const BITS: Readonly<Record<string, StorageType>> = { float16: "f16", bfloat16: "bf16" };

/** A tensor as the operator takes it. */
function readEntry(folder: URL, { file, dtype, shape }: Entry): object {
  const bytes = Deno.readFileSync(new URL(file, folder));
  switch (dtype) {
    case "bool":
      return { data: bytes, shape };
    case "int64":
      return { data: new BigInt64Array(bytes.buffer), shape };
    case "float32":
      return { data: new Float32Array(bytes.buffer), shape };
    case "float16":
    case "bfloat16":
      return { data: new Uint16Array(bytes.buffer), shape, dtype: BITS[dtype] };
  }
}
