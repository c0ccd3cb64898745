// Tensors by the name of a file: `q.npy`, `x.safetensors`, `x.safetensors:layer.q`.
import type { HostTensor } from "../../tensor/tensor.ts";
import { FileError, UsageError } from "../exit.ts";
import { writeWhole } from "./atomic.ts";
import { ByteFile } from "./byte_file.ts";
import { npyParts, readNpyHeader } from "./npy.ts";
import { readSafetensorsHeader, safetensorsParts } from "./safetensors.ts";
import { readStored, type ReadTensor, type StoredTensor, type StoredType } from "./stored.ts";

/** Endings of files that are read and written. */
export const TENSOR_FILES: readonly string[] = [".npy", ".safetensors"];

const NUMBERS: readonly StoredType[] = ["f32", "f16", "bf16"];

async function npyTensor(file: ByteFile, types: readonly StoredType[]): Promise<ReadTensor> {
  const header = await readNpyHeader(file);
  if (!types.includes(header.dtype)) {
    throw file.error(`it holds ${header.dtype} but must hold ${types.join(", ")}`);
  }
  return await readStored(file, header);
}

async function listedTensor(
  file: ByteFile,
  name: string,
  types: readonly StoredType[],
): Promise<ReadTensor> {
  const tensors = await readSafetensorsHeader(file), found = tensors.get(name);
  if (!found) {
    const names = [...tensors.keys()], shown = names.slice(0, 12).join(", ");
    const more = names.length > 12 ? `, ... (${names.length} in all)` : "";
    throw file.error(`it has no tensor ${name}, only ${shown || "none"}${more}`);
  }
  if (!found.dtype || !types.includes(found.dtype)) {
    const wanted = types.join(", ");
    throw file.error(`dtype of ${name} is ${found.typeName} but must be ${wanted}`);
  }
  return await readStored(file, found as StoredTensor);
}

/** Reads a tensor. `name`: what it is called in a safetensors file where the reference does not say. */
export async function tensorAt(
  reference: string,
  name: string,
  types: readonly StoredType[] = NUMBERS,
): Promise<ReadTensor> {
  const [, path, own] = /^(.*\.safetensors)(?::(.+))?$/s.exec(reference) ?? [];
  if (path !== undefined) {
    return await ByteFile.with(path, (file) => listedTensor(file, own ?? name, types));
  }
  if (reference.endsWith(".npy")) {
    return await ByteFile.with(reference, (file) => npyTensor(file, types));
  }
  throw new FileError(
    `Cannot read ${reference}: its name must end in ${TENSOR_FILES.join(" or ")}`,
  );
}

/** The files that results go to, by the names of the results: one, or with .npy one for each. */
export function outputFiles(path: string, names: readonly string[]): Map<string, string[]> {
  if (path.endsWith(".safetensors")) return new Map([[path, [...names]]]);
  if (!path.endsWith(".npy")) {
    throw new UsageError(
      `Cannot use --output ${path}: its name must end in ${TENSOR_FILES.join(" or ")}`,
    );
  }
  const stem = path.slice(0, -".npy".length);
  return new Map(names.map((name) => [`${stem}.${name}.npy`, [name]]));
}

/** Writes results, each file whole or not at all. */
export async function writeTensors(
  files: ReadonlyMap<string, readonly string[]>,
  tensors: Readonly<Record<string, HostTensor>>,
): Promise<void> {
  for (const [path, names] of files) {
    const own = Object.fromEntries(names.map((name) => [name, tensors[name]!]));
    const [only] = names as [string];
    await writeWhole(path, path.endsWith(".npy") ? npyParts(own[only]!) : safetensorsParts(own));
  }
}
