/** Block masks of the grid: made by the library from functions and from lists, and what they mean apart from that. */

import { blockMaskFromLists, createBlockMask } from "../mod.ts";
import type { Case } from "./case.ts";
import { maskMods, type MaskName } from "./mods.ts";
import { randomNumbers } from "./random.ts";
import type { BlockMaskFunction, Place } from "./reference/functions.ts";

/** A block mask of a case: of a function of tests/mods.ts, or of lists of random blocks whose partial ones have one. */
export type BlockForm =
  & { readonly size: readonly [rows: number, keys: number] }
  & (
    | { readonly made: "blocks"; readonly mask: MaskName }
    | { readonly made: "lists"; readonly mask?: MaskName }
  );

/** What a block of a list is. */
type Kind = "empty" | "full" | "partial";

/** The lists of blocks of a kind. */
function listOf(kinds: readonly (readonly Kind[])[], wanted: Kind) {
  const rows = kinds.map((row) => row.flatMap((kind, column) => kind === wanted ? [column] : []));
  const offsets = [0];
  for (const row of rows) offsets.push(offsets.at(-1)! + row.length);
  return { offsets: Int32Array.from(offsets), columns: Int32Array.from(rows.flat()) };
}

/** Half of the blocks are empty, a quarter full, a quarter partial. */
function randomKinds(rows: number, columns: number, seed: number): Kind[][] {
  const random = randomNumbers(seed);
  const kinds: readonly Kind[] = ["empty", "empty", "full", "partial"];
  return Array.from(
    { length: rows },
    () => Array.from({ length: columns }, () => kinds[Math.floor(random() * 4)]!),
  );
}

/** Makes the block mask of a case. Its lengths and diagonal are those of the tensors, whatever other options say. */
export function makeBlockMask(c: Case, form: BlockForm, seed: number): BlockMaskFunction {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK } = c, { size, mask } = form;
  const own = (place: Place): Place => ({
    ...{ ...place, lengthQ, lengthK },
    diagonal: place.query + lengthK - lengthQ,
  });
  const allows = (place: Place) => !mask || maskMods[mask].visible(own(place));
  const sizes = { lengthQ, lengthK, blockSize: size };
  if (form.made === "blocks") {
    const made = createBlockMask(maskMods[form.mask], {
      ...{ ...sizes, batch: Math.max(1, batch), queryHeads, kvHeads },
    });
    return Object.assign(made, { visible: allows });
  }
  const [height, width] = size;
  const kinds = randomKinds(Math.ceil(lengthQ / height), Math.ceil(lengthK / width), seed);
  const made = blockMaskFromLists({
    ...sizes,
    full: listOf(kinds, "full"),
    partial: listOf(kinds, "partial"),
    ...mask && { maskMod: maskMods[mask] },
  });
  return Object.assign(made, {
    visible: (place: Place) => {
      const kind = kinds[Math.floor(place.query / height)]![Math.floor(place.key / width)]!;
      return kind === "full" || (kind === "partial" && allows(place));
    },
  });
}
