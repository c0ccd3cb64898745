/** Block masks: the same as the functions that they were made of, on every configuration. */

import assert from "node:assert/strict";
import {
  attention,
  type BlockMask,
  blockMaskFromLists,
  createBlockMask,
  maskMod,
  masks,
} from "../mod.ts";
import { bothPasses, engineConfigurations, type Session } from "./backends.ts";
import { type Case, defineCase } from "./case.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import { documentIds, maskMods } from "./mods.ts";
import type { BlockMaskFunction, MaskFunction } from "./reference/functions.ts";
import type { ReferenceOptions } from "./reference/problem.ts";
import { testSessions } from "./sessions.ts";

const grouped: Partial<Case> = { queryHeads: 2, kvHeads: 1, lengthQ: 200, lengthK: 180 };

/** Results of a call with a block mask must be, to the bit, those of the call with a function. */
async function assertSame(session: Session, c: Case, blockMask: BlockMask, maskMod: MaskFunction) {
  const inputs = makeInputs(c), { maskMod: _, ...rest } = inputs.options;
  const run = (options: ReferenceOptions) => bothPasses(session, { ...inputs, options });
  const got = await run({ ...rest, blockMask: blockMask as BlockMaskFunction });
  const want = await run({ ...rest, maskMod });
  for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
    assert.deepEqual(got[name].data, want[name].data, name);
  }
}

testSessions(
  "a block mask of a function is that function, bit for bit",
  engineConfigurations,
  async (session) => {
    for (const more of [{}, { lengthQ: 333, lengthK: 400, causal: true }] as Partial<Case>[]) {
      const c = defineCase({ ...grouped, ...more, scoreMod: "alibi", maskMod: "documents" });
      if (!session.takes(c)) continue;
      const { lengthQ, lengthK } = c;
      for (const blockSize of [32, 64, [128, 32]] as const) {
        const blocks = createBlockMask(maskMods.documents, { lengthQ, lengthK, blockSize });
        await assertSame(session, c, blocks, maskMods.documents);
      }
    }
  },
  "rest",
);

/** The blocks of documents and what they hold, as lists. */
function listsOf(lengthQ: number, lengthK: number, height: number, width: number) {
  const blocks = createBlockMask(maskMods.documents, {
    lengthQ,
    lengthK,
    blockSize: [height, width],
  });
  const lists = { full: [[0], [] as number[]], partial: [[0], [] as number[]] };
  for (let row = 0; row < lengthQ; row += height) {
    for (let key = 0; key < lengthK; key += width) {
      const { full, partial } = blocks.describe([row, row + 1], [key, key + 1]);
      if (full) lists.full[1]!.push(key / width);
      if (partial) lists.partial[1]!.push(key / width);
    }
    for (const list of Object.values(lists)) list[0]!.push(list[1]!.length);
  }
  const [full, partial] = [lists.full, lists.partial].map(([offsets, columns]) => ({
    offsets: Int32Array.from(offsets!),
    columns: Int32Array.from(columns!),
  }));
  return { full: full!, partial: partial!, drawing: String(blocks) };
}

testSessions(
  "lists of the blocks of a function are that function",
  engineConfigurations,
  async (session) => {
    const form = { made: "lists", size: [16, 32], mask: "documents" } as const;
    const c = defineCase({ ...grouped, blockMask: form });
    if (!session.takes(c)) return;
    const inputs = makeInputs(c), { lengthQ, lengthK } = c;
    const { drawing, ...lists } = listsOf(lengthQ, lengthK, 16, 32);
    const sizes = { lengthQ, lengthK, blockSize: [16, 32] as const };
    const listed = blockMaskFromLists({ ...sizes, ...lists, maskMod: maskMods.documents });
    assert.equal(String(listed), drawing);
    const run = (blockMask: BlockMask) =>
      bothPasses(session, { ...inputs, options: { blockMask: blockMask as BlockMaskFunction } });
    const got = await run(listed), want = await run(createBlockMask(maskMods.documents, sizes));
    for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
      assert.deepEqual(got[name].data, want[name].data, name);
    }
  },
  "by case",
);

Deno.test("a block mask that sees nothing, or all", async () => {
  const tensor = (seed: number) => plainTensor(seed, [1, 40, 1, 8]);
  const [q, k, v] = [tensor(1), tensor(2), tensor(3)];
  const sizes = { lengthQ: 40, lengthK: 40, blockSize: 16 };
  const all = createBlockMask(masks.prefix(40), sizes),
    none = createBlockMask(masks.prefix(0), sizes);
  assert.deepEqual([all.density, none.density], [1, 0]);
  const plain = await attention(q, k, v);
  assert.deepEqual((await attention(q, k, v, { blockMask: all })).out.data, plain.out.data);
  const { out, lse } = await attention(q, k, v, { blockMask: none });
  assert.ok(out.data.every((x) => x === 0) && lse.data.every((x) => x === -Infinity));
});

Deno.test("packed sequences must all be as long as the block mask", async () => {
  const q = plainTensor(1, [12, 1, 8]),
    blockMask = createBlockMask(masks.documents(documentIds), {
      ...{ lengthQ: 6, lengthK: 6, blockSize: 4 },
    });
  const call = (...starts: number[]) =>
    attention(q, q, q, { cuSeqlensQ: starts, cuSeqlensK: starts, blockMask });
  assert.deepEqual((await call(0, 6, 12)).out.shape, [12, 1, 8]);
  await assert.rejects(call(0, 6, 11), {
    name: "RangeError",
    message: /blockMask was made for lengthQ 6 but the call has lengthQ 5 of sequence 1/,
  });
});

Deno.test("keys in use may be fewer than the block mask has, or as many", async () => {
  const tensor = (seed: number) => plainTensor(seed, [1, 20, 1, 8]);
  const [q, k, v] = [tensor(1), tensor(2), tensor(3)], keyLengths = 13;
  const mask = masks.window(4, 2), sizes = { lengthQ: 20, blockSize: 4 };
  const ofUsed = createBlockMask(mask, { ...sizes, lengthK: 13 });
  const used = await attention(q, k, v, { keyLengths, blockMask: ofUsed });
  assert.deepEqual(
    used.out.data,
    (await attention(q, k, v, { keyLengths, maskMod: mask })).out.data,
  );
  // its diagonal is then that of all keys
  const ofAll = createBlockMask(mask, { ...sizes, lengthK: 20 });
  const own = maskMod(({ query, key }) => key.ge(query.sub(4)).and(key.le(query.add(2))));
  const [all, twin] = await Promise.all([
    attention(q, k, v, { keyLengths, blockMask: ofAll }),
    attention(q, k, v, { keyLengths, maskMod: own }),
  ]);
  assert.deepEqual(all.out.data, twin.out.data);
});
