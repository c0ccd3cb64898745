/** What a cluster decides without a network: the wire format, who owns which rows, how keys are split. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { Latencies } from "../../src/cluster/node/latencies.ts";
import { randomNumbers } from "../random.ts";
import { splitRuns } from "../../src/cluster/split.ts";
import { dealRows, localLength, ownerOf } from "../../src/cluster/stripes.ts";
import { copiesOf } from "../../src/cluster/client/repair.ts";
import { PageTables } from "../../src/cache/page_tables.ts";
import { checkCacheOptions } from "../../src/cache/cache_options.ts";
import { Complaint } from "../../src/tensor/errors.ts";
import { appendMessages } from "../../src/cluster/client/cache_shards.ts";
import { describeError, RefusedError, restoredError } from "../../src/cluster/wire/errors.ts";
import { decode, encode } from "../../src/cluster/wire/message.ts";
import { storedLike, toFloats, toWire } from "../../src/cluster/wire/narrow.ts";
import { contiguous, placeAxis, sliceAxis } from "../../src/cluster/wire/slices.ts";
import { UnsupportedError } from "../../src/tensor/errors.ts";

Deno.test("a message is a safetensors file, wherever its bytes lie", () => {
  const tensors = {
    a: { data: Float32Array.of(1, -0, NaN, Infinity), shape: [2, 2] },
    b: { data: Uint16Array.of(1, 2, 3), shape: [3], dtype: "bf16" as const },
    c: { data: Int32Array.of(-5), shape: [1], dtype: "i32" as const },
    d: { data: Uint8Array.of(1, 0, 1), shape: [3] },
    e: { data: new Float32Array(0), shape: [0, 4] },
  };
  const message = encode({ what: "it is", list: [1, 2] }, tensors);
  const length = Number(new DataView(message.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(message.subarray(8, 8 + length)));
  assert.deepEqual(header.a, { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] });
  assert.deepEqual(header.d.dtype, "BOOL");
  assert.equal(header.__metadata__.flashtile, "1");
  assert.equal(length % 8, 0);
  for (const shift of [0, 1, 2, 3]) {
    const moved = new Uint8Array(message.length + shift);
    moved.set(message, shift);
    const read = decode(moved.subarray(shift));
    assert.deepEqual(read.head, { what: "it is", list: [1, 2] });
    for (const [name, { data, shape }] of Object.entries(tensors)) {
      assert.deepEqual(read.tensors[name]!.data, data);
      assert.deepEqual(read.tensors[name]!.shape, shape);
    }
  }
});

Deno.test("what is no message, or one of another version, is refused", () => {
  const message = encode({}, { a: { data: Float32Array.of(1, 2), shape: [2] } });
  const other = (from: string, to: string) => {
    const text = new TextDecoder("latin1").decode(message).replace(from, to);
    return Uint8Array.from(text, (c) => c.charCodeAt(0));
  };
  assert.throws(() => decode(new Uint8Array(3)), /Cannot read the message: it has 3 bytes/);
  assert.throws(() => decode(new Uint8Array(8).fill(255)), /its header has/);
  assert.throws(() => decode(message.subarray(0, message.length - 4)), /a has bytes 0 to 8 of 4/);
  assert.throws(() => decode(other('"1"', '"2"')), /it has protocol 2 but 1 was wanted/);
  assert.throws(() => decode(other("F32", "F64")), /a has the unknown dtype F64/);
  assert.throws(() => decode(other("{", "[")), /its header is no JSON/);
});

Deno.test("strided tensors leave row-major, and slices go back where they came from", () => {
  const data = Float32Array.from({ length: 24 }, (_, n) => n);
  const turned = { data, shape: [3, 2, 4], strides: [4, 12, 1] };
  assert.deepEqual([...contiguous(turned).data as Float32Array].slice(0, 8), [
    0,
    1,
    2,
    3,
    12,
    13,
    14,
    15,
  ]);
  const whole = { data: new Float32Array(24), shape: [3, 2, 4] };
  for (const [from, to] of [[2, 3], [0, 2]] as const) {
    placeAxis(whole, 0, from, contiguous(sliceAxis(turned, 0, from, to)));
  }
  assert.deepEqual(whole.data, contiguous(turned).data);
  const narrow = toWire(turned, "bf16");
  assert.equal(narrow.dtype, "bf16");
  assert.deepEqual(toFloats(narrow).data, contiguous(turned).data); // small integers are exact
  const stored = storedLike(toFloats(narrow), {
    data: new Uint16Array(1),
    shape: [1],
    dtype: "f16",
  });
  assert.equal(stored.dtype, "f16");
  assert.equal(stored.data[1], 0x3c00);
});

Deno.test("errors come back as what they were", () => {
  const same = (error: Error) => restoredError(describeError(error).parts);
  assert.deepEqual(same(new RangeError("Cannot run x")), new RangeError("Cannot run x"));
  assert.ok(same(new UnsupportedError("a", "wasm", "b")) instanceof UnsupportedError);
  const refused = same(new RefusedError("behind", "it is"));
  assert.ok(refused instanceof RefusedError && refused.refusal === "behind");
});

Deno.test("percentiles of calls are those of a sorted list, within a bucket, and old calls fade", () => {
  const times = new Latencies();
  assert.equal(times.percentile(0.5), undefined);
  const random = randomNumbers(7), list = Array.from({ length: 5000 }, () => 0.05 / random() ** 2);
  for (const ms of list) times.add(ms);
  const sorted = list.toSorted((a, b) => a - b);
  for (const share of [0.01, 0.5, 0.9, 0.99, 1]) {
    const want = sorted[Math.ceil(share * list.length) - 1]!, got = times.percentile(share)!;
    assert.ok(Math.abs(Math.log2(got / Math.min(want, 1e7))) < 1 / 15, `${share}: ${got}, ${want}`);
  }
  for (const ms of [0, 1e12]) times.add(ms); // nothing is outside
  assert.equal(times.total, 5002);
  for (let n = 0; n < 60_000; n++) times.add(300);
  assert.ok(Math.abs(times.percentile(0.02)! / 300 - 1) < 0.05);
});

const shapes = fc.record({
  shards: fc.integer({ min: 1, max: 7 }),
  stripe: fc.integer({ min: 1, max: 9 }),
});

Deno.test("every row has one owner, and its place there is that of those before it", () => {
  fc.assert(fc.property(shapes, fc.nat(9), fc.nat(200), (shape, sequence, length) => {
    const held = Array.from({ length: shape.shards }, () => 0);
    for (let row = 0; row < length; row++) {
      const owner = ownerOf(shape, sequence, row);
      assert.equal(localLength(shape, sequence, row, owner), held[owner]);
      held[owner]!++;
    }
    held.forEach((rows, shard) => assert.equal(localLength(shape, sequence, length, shard), rows));
    assert.ok(Math.max(...held) - Math.min(...held) <= shape.stripe);
  }));
});

Deno.test("an append is dealt out whole, in messages that are small enough and in order", () => {
  const sizes = fc.tuple(
    shapes,
    fc.array(fc.tuple(fc.nat(50), fc.nat(60)), { maxLength: 4 }),
    fc.integer({ min: 1, max: 20 }),
  );
  fc.assert(fc.property(sizes, ([shape, sequences, most]) => {
    const owned = sequences.flatMap(([begin, count], index) =>
      dealRows(shape, index, begin, count).map((part) => ({ ...part, index, sequence: index }))
    );
    const seen = sequences.map(([, count]) => new Array<number>(count).fill(0));
    for (const [shard, messages] of appendMessages(owned, most)) {
      const next = new Map<number, number>();
      for (const { sequences: named, from, rows, pieces } of messages) {
        assert.ok(rows.reduce((a, b) => a + b, 0) <= most);
        assert.equal(
          rows.reduce((a, b) => a + b, 0),
          pieces.reduce((n, { first, end }) => n + end - first, 0),
        );
        named.forEach((sequence, n) => {
          const begin = sequences[sequence]![0];
          const expected = next.get(sequence) ?? localLength(shape, sequence, begin, shard);
          assert.equal(from[n], expected);
          next.set(sequence, expected + rows[n]!);
        });
        for (const { index, first, end } of pieces) {
          for (let row = first; row < end; row++) {
            seen[index]![row]!++;
            assert.equal(ownerOf(shape, index, sequences[index]![0] + row), shard);
          }
        }
      }
    }
    assert.ok(seen.flat().every((times) => times === 1));
  }));
});

Deno.test("parts have every key once, and zigzag makes causal work even", () => {
  for (const split of ["contiguous", "zigzag", "heads"] as const) {
    for (const [length, parts] of [[0, 3], [1, 4], [17, 4], [1024, 4], [1000, 7]] as const) {
      const runs = splitRuns(length, parts, split),
        keys = runs.flat().flatMap(({ from, to }) =>
          Array.from({ length: to - from }, (_, n) => from + n)
        );
      assert.deepEqual(keys.sort((a, b) => a - b), Array.from({ length }, (_, n) => n));
    }
  }
  const work = splitRuns(4096, 4, "zigzag").map((runs) =>
    runs.reduce((sum, { from, to }) => sum + (to - from) * (4096 - (from + to) / 2), 0)
  );
  assert.ok(Math.max(...work) / Math.min(...work) < 1.01);
});

Deno.test("what a copy shares with one before it is rows that both have", () => {
  const options = { sequences: 4, kvHeads: 1, headDim: 4, pageSize: 16, pages: 20 };
  const pages = new PageTables(checkCacheOptions(options)), complaint = new Complaint("append");
  pages.grow([1], [40], complaint);
  for (const target of [0, 2, 3]) pages.fork(1, target);
  pages.truncate(2, 35); // in the page that they share
  pages.truncate(3, 20);
  pages.grow([3], [20], complaint); // in a page of its own
  assert.deepEqual(copiesOf(pages), [
    { sequence: 0, length: 40, like: undefined, rows: 0 },
    { sequence: 1, length: 40, like: 0, rows: 40 },
    { sequence: 2, length: 35, like: 0, rows: 35 },
    { sequence: 3, length: 40, like: 0, rows: 16 },
  ]);
});
