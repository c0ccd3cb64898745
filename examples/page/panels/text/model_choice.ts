// Which model reads: the one of the page, or one from a file.
import type { Engine } from "@flashtile/attention";
import type { ByteModel } from "../../../byte_lm/model.ts";
import { readModel } from "../../../byte_lm/model_file.ts";
import { LONGEST } from "./reading.ts";

/** Trained on this project's pages by examples/byte_lm/train_heads.ts, which takes minutes: so it is a file of 106 KiB. */
const HEADS = "assets/heads.safetensors";

async function fetched(path: string): Promise<Response> {
  const response = await fetch(new URL(path, document.baseURI));
  if (!response.ok) {
    throw new Error(
      `Cannot load ${path}: the server answers ${response.status}`,
    );
  }
  return response;
}

/** A text of the page. */
export async function fetchText(path: string, bytes: number): Promise<string> {
  const all = new Uint8Array(await (await fetched(path)).arrayBuffer());
  // not in the middle of a character: what continues one begins with the bits 10
  let end = Math.min(bytes, all.length);
  while (end < all.length && (all[end]! & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(all.subarray(0, end));
}

/** The model that comes with the page. */
export async function pageModel(engine: Engine): Promise<ByteModel> {
  const file = new Uint8Array(await (await fetched(HEADS)).arrayBuffer());
  return modelOf("the model of the page", file, engine);
}

/** A model from the bytes of its file. */
export function modelOf(name: string, file: Uint8Array, engine: Engine): ByteModel {
  return readModel(name, file, engine, LONGEST).model;
}

/** A model that a person has opened, such as one that the panel about training has saved. */
export async function openedModel(file: File, engine: Engine): Promise<ByteModel> {
  return modelOf(file.name, new Uint8Array(await file.arrayBuffer()), engine);
}
