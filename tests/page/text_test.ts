/** The logic of the panel that shows what a text attends to; no browser. */
import assert from "node:assert/strict";
import { attention, createEngine, type Engine } from "../../mod.ts";
import { ByteModel } from "../../examples/byte_lm/model.ts";
import { Random } from "../../examples/byte_lm/random.ts";
import { Characters } from "../../examples/page/panels/text/characters.ts";
import { percent, visible } from "../../examples/page/panels/text/words.ts";
import {
  cellOf,
  cellStart,
  type Overview,
  overviewOf,
  pan,
  zoom,
} from "../../examples/page/panels/text/overview.ts";
import { type Head, Reading, type Rectangle } from "../../examples/page/panels/text/reading.ts";

const MIXED = "a\u00e9 \u0645\u0631\u062d\u0628\u0627 \u05e9\u05b8\u05dc\u05d5\u05b9\u05dd " +
  "\u0928\u092e\u0938\u094d\u0924\u0947 \u{1f469}\u200d\u{1f680}\r\nz";

Deno.test("page: characters keep their bytes and their place, in every script", () => {
  const characters = new Characters(MIXED);
  const parts = Array.from({ length: characters.count }, (_, n) => characters.at(n));
  assert.equal(parts.join(""), MIXED);
  assert.ok(parts.includes("\u{1f469}\u200d\u{1f680}") && parts.includes("\u05e9\u05b8"));
  assert.ok(parts.includes("\r\n"));
  const decoder = new TextDecoder();
  let end = 0;
  parts.forEach((part, n) => {
    const [first, last] = characters.bytesOf(n);
    assert.equal(first, end);
    assert.equal(decoder.decode(characters.bytes.subarray(first, last)), part);
    for (let byte = first; byte < last; byte++) {
      assert.equal(characters.ofByte[byte], n);
    }
    const [from, to] = characters.unitsOf(n);
    for (let unit = from; unit < to; unit++) {
      assert.equal(characters.ofUnit(unit), n);
    }
    end = last;
  });
  assert.equal(end, characters.bytes.length);
  assert.equal(characters.ofUnit(1e6), characters.count - 1);
  assert.deepEqual(characters.around(1, 1), ["a", "\u00e9", " "]);
  assert.equal(characters.textOf([2, 4]), "\u00e9 "); // a range that begins inside of a character
  const ones = new Float32Array(characters.bytes.length).fill(1);
  assert.deepEqual(characters.join(ones, "mean"), new Float32Array(characters.count).fill(1));
  assert.equal(characters.join(ones, "sum").reduce((a, b) => a + b), characters.bytes.length);
});

Deno.test("page: half of a surrogate pair becomes U+FFFD in text and bytes alike", () => {
  const characters = new Characters("a\ud800b");
  assert.equal(characters.text, "a\ufffdb");
  assert.deepEqual([characters.count, characters.bytes.length], [3, 5]);
  assert.equal(new Characters("").count, 0);
  assert.deepEqual([0.5, 0.0123, 0.0004].map(percent), ["50 %", "1.23 %", "< 0.1 %"]);
  assert.deepEqual([" ", "\n", "\t", "\u0007", "x"].map(visible), ["␣", "⏎", "⇥", "·", "x"]);
});

const shape = { layers: 2, heads: 4, kvHeads: 2, headDim: 8, dim: 16, context: 300 };

async function withReading(
  text: string,
  body: (
    reading: Reading,
    characters: Characters,
    model: ByteModel,
    engine: Engine,
  ) => Promise<void>,
): Promise<void> {
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  try {
    const model = new ByteModel(shape, new Random(4), engine),
      characters = new Characters(text);
    await body(await Reading.of(model, characters.bytes, engine), characters, model, engine);
  } finally {
    engine.dispose();
  }
}

/** The probabilities of one head, [length, length], in float64 from its queries and keys. */
function probabilities({ q, k, length }: Head): Float64Array {
  const all = new Float64Array(length * length), dim = q.shape[3]!;
  const a = q.data as Float32Array, b = k.data as Float32Array;
  for (let i = 0; i < length; i++) {
    const row = all.subarray(i * length, i * length + i + 1);
    for (let j = 0; j <= i; j++) {
      for (let c = 0; c < dim; c++) {
        row[j]! += a[i * dim + c]! * b[j * dim + c]! / Math.sqrt(dim);
      }
    }
    const largest = Math.max(...row);
    let sum = 0;
    row.forEach((score, j) => sum += row[j] = Math.exp(score - largest));
    row.forEach((weight, j) => row[j] = weight / sum);
  }
  return all;
}

const near = (got: number, want: number, what: string): void =>
  assert.ok(
    Math.abs(got - want) <= 2e-5 * Math.max(1, Math.abs(want)),
    `${what}: ${got}, ${want}`,
  );

Deno.test("page: a head is that of the model, and its strips are entropy and column sums", () =>
  withReading(MIXED.repeat(3), async (reading, characters, model, engine) => {
    for (const [layer, number] of [[0, 1], [1, 3]] as const) {
      const head = await reading.head(layer, number), { length } = head;
      assert.equal(await reading.head(layer, number), head);
      const p = probabilities(head);
      for (let i = 0; i < length; i++) {
        let entropy = 0, received = 0;
        for (let j = 0; j < length; j++) {
          const mine = p[i * length + j]!;
          if (mine > 0) entropy -= mine * Math.log(mine);
          received += p[j * length + i]!;
        }
        near(head.entropy[i]!, entropy, `entropy ${i}`);
        near(head.received[i]!, received, `received ${i}`);
      }
      // all heads of the layer at once give this head's lse
      const { q, k } = (await model.operands(characters.bytes))[layer]!;
      const { lse } = await attention(q, k, k, { causal: true, engine });
      const own = (lse.data as Float32Array).subarray(number * length, (number + 1) * length);
      own.forEach((x, i) => near((head.lse.data as Float32Array)[i]!, x, `lse ${i}`));
    }
  }));

Deno.test("page: the strongest characters are sums over the bytes of each", () =>
  withReading(MIXED.repeat(2), async (reading, characters) => {
    const head = await reading.head(1, 2),
      { length } = head,
      p = probabilities(head);
    for (const character of [0, 5, characters.count - 3, characters.count - 1]) {
      const [first, end] = characters.bytesOf(character);
      const wanted = new Float64Array(characters.count);
      for (let i = first; i < end; i++) {
        for (let j = 0; j < length; j++) {
          wanted[characters.ofByte[j]!]! += p[i * length + j]! / (end - first);
        }
      }
      const { strongest, shares } = await reading.attended(head, characters, character, 20);
      const order = [...wanted.keys()].sort((a, b) => wanted[b]! - wanted[a]!);
      shares.forEach((share, n) => near(share, wanted[n]!, `share of ${n} of ${character}`));
      strongest.slice(0, 5).forEach(({ character, share }, n) => {
        assert.equal(share, shares[character]);
        near(share, wanted[order[n]!]!, `place ${n}`);
      });
      assert.ok(strongest.length <= 20 && strongest.every(({ character: n }) => n <= character));
      assert.ok(strongest.every(({ share }, n) => n === 0 || share <= strongest[n - 1]!.share));
    }
  }));

async function last(cells: AsyncIterable<Overview>): Promise<Overview> {
  let overview: Overview | undefined;
  for await (overview of cells);
  return overview!;
}

Deno.test("page: cells hold the attention of their queries to their keys, however they are cut", () =>
  withReading("abc abd ".repeat(30), async (reading, _, __, engine) => {
    const head = await reading.head(0, 0),
      { length } = head,
      p = probabilities(head);
    const rectangles: [Rectangle, number][] = [
      [{ rows: [0, length], keys: [0, length] }, 7],
      [{ rows: [0, length], keys: [0, length] }, 1000],
      [{ rows: [100, 110], keys: [3, 90] }, 16],
      [{ rows: [0, 20], keys: [100, 200] }, 16], // hidden: all keys lie behind
    ];
    for (const [{ rows, keys }, cells] of rectangles) {
      const overview = await last(overviewOf(head, { rows, keys }, cells, engine));
      const { rows: down, columns: across } = overview;
      assert.deepEqual([down, across], [
        Math.min(cells, rows[1] - rows[0]),
        Math.min(cells, keys[1] - keys[0]),
      ]);
      assert.equal(overview.done, down);
      for (let n = 0; n < down * across; n++) {
        const r = Math.floor(n / across), c = n % across;
        const [top, bottom] = [cellStart(rows, down, r), cellStart(rows, down, r + 1)];
        let sum = 0;
        for (let i = top; i < bottom; i++) {
          const [left, right] = [cellStart(keys, across, c), cellStart(keys, across, c + 1)];
          for (let j = left; j < right; j++) sum += p[i * length + j]!;
        }
        near(
          overview.shares[n]!,
          sum / (bottom - top),
          `cell ${n} of ${down} × ${across}`,
        );
      }
    }
  }));

Deno.test("page: cells of a range follow each other without a gap", () => {
  for (const [first, end, cells] of [[0, 10, 3], [5, 105, 7], [3, 260, 256], [0, 4099, 192]]) {
    const range = [first!, end!] as const;
    for (let place = first!; place < end!; place++) {
      const n = cellOf(range, cells!, place);
      assert.ok(cellStart(range, cells!, n) <= place && place < cellStart(range, cells!, n + 1));
    }
    assert.equal(cellStart(range, cells!, cells!), end);
  }
});

Deno.test("page: zoom and pan stay inside of the text", () => {
  const whole: Rectangle = { rows: [0, 100], keys: [0, 100] };
  assert.deepEqual(zoom(whole, 0.5, 100), { rows: [25, 75], keys: [25, 75] });
  assert.deepEqual(zoom(whole, 2, 100), whole);
  assert.deepEqual(zoom(whole, 0.5, 100, [0, 100]), { rows: [0, 50], keys: [50, 100] });
  assert.deepEqual(zoom({ rows: [4, 8], keys: [0, 4] }, 0.5, 100), { rows: [4, 8], keys: [0, 4] });
  assert.deepEqual(zoom({ rows: [0, 2], keys: [0, 2] }, 0.1, 2), { rows: [0, 2], keys: [0, 2] });
  const part: Rectangle = { rows: [80, 100], keys: [0, 20] };
  assert.deepEqual(pan(part, 0.5, -0.5, 100), part);
  assert.deepEqual(pan(part, -0.25, 0, 100), { rows: [75, 95], keys: [0, 20] });
  assert.deepEqual(pan(part, 0, 0.25, 100), { rows: [80, 100], keys: [5, 25] });
});
