// The register tile of late interaction: products of rows with all panels of queries, of which only the largest of each
// query and its row are kept.
import { accumulators, pointers, step } from "./products.ts";
import { range } from "./pitch.ts";

/** Values of u in one turn, in which one line of the rows that come next is read. */
const UNROLLED = 8;

/** Lines that make c0 the largest of the rows' scores and i0 minus its number in the group; the lower of equal ones. */
function tournament(v: number): string[] {
  return [0, 2, 4].flatMap((row) => {
    const [first, second] = [`c${row}_${v}`, `c${row + 1}_${v}`],
      below = `f32x4.lt(${first}, ${second})`;
    const pair = [
      `i${row} = ${row ? `i32x4.sub(${below}, number${row})` : below};`,
      `${first} = f32x4.pmax(${first}, ${second});`,
    ];
    return row === 0 ? pair : [
      ...pair,
      `i0 = i32x4.min_s(i0, v128.and(f32x4.lt(c0_${v}, ${first}), i${row}));`,
      `c0_${v} = f32x4.pmax(c0_${v}, ${first});`,
    ];
  });
}

/**
 * The largest products of `groups` times six successive rows with each query of all panels, one panel after the other.
 * Their records lie at `best` (Best in micro/records.ts): a product above the largest so far takes its place, `row` is
 * the number of the first row, and all products are added to the record's sum, which is NaN where one of them is.
 *
 * In each turn a line of the next six rows is read, from addresses `ahead` bytes apart; the last such rows are at `last`.
 * measured (AMD EPYC, family 25 model 1, D 128, rows from DRAM, share of the tile over operands in the cache): 4 / 2 / 1
 * panels 0.58 / 0.58 / 0.35 without, 0.88 / 0.78 / 0.27 so, 0.87 / 0.80 / 0.67 with two lines a turn (0.02 to 0.04 less
 * for four panels while another program shares the core), 0.72 / 0.70 / 0.50 with six rows that are read at once
 * before their products, 0.53 for four panels with twelve lines before each panel. In the cache, reading ahead costs
 * 0.04, the maxima 0.02; turns of sixteen values give 0.02 back, for 1.6 KB more.
 */
export function maximaTile(name: string): string {
  const shape = { rows: 6, vectors: 2 }, acc = accumulators(shape);
  const turn = range(UNROLLED).map((u) => step(shape, u)).join("\n");
  const advance = (n: number) =>
    `    bp += ${n * 32}; ` + range(6).map((row) => `p${row} += ${n * 4};`).join(" ");
  const rows = range(6).slice(1);
  const fold = [0, 1].flatMap((v) => {
    const product = v * 16, arg = `Best.Row + ${v * 16}`;
    return [
      ...tournament(v),
      `b0 = v128.load(at, ${product}); i0 = v128.and(f32x4.lt(b0, c0_${v}), i32x4.sub(key, i0));`,
      `v128.store(at, i32x4.max_s(v128.load(at, ${arg}), i0), ${arg});`,
      `v128.store(at, f32x4.pmax(b0, c0_${v}), ${product});`,
    ];
  });
  return [
    `export function ${name}(ap: usize, q: usize, best: usize, n: i32, ld: usize, panels: i32, row: i32, groups: i32, last: usize, ahead: usize): i32 {`,
    `  const number2 = i32x4.splat(2), number4 = i32x4.splat(4);`,
    `  let seen: i32 = 0;`,
    `  for (; groups > 0; --groups) {`,
    `  const key = i32x4.splat(row);`,
    `  let bp = q, at = best, next = min(ap + ld * 6, last);`,
    `  for (let panel = panels; panel > 0; --panel) {`,
    `  let a: v128, b0 = f32x4.splat(0), b1: v128, i0: v128, i2: v128, i4: v128;`,
    `  ${acc.map((c) => `let ${c.name} = b0;`).join(" ")}`,
    pointers(shape, "ap", "ld"),
    `  const end = p0 + (<usize>n << 2), whole = p0 + (<usize>(n & ~${UNROLLED - 1}) << 2);`,
    `  while (p0 < whole) {`,
    `    seen += load<i32>(next); next += ahead;`,
    turn,
    advance(UNROLLED),
    `  }`,
    `  while (p0 < end) {`,
    step(shape, 0),
    advance(1),
    `  }`,
    `  a = f32x4.add(v128.load(at, Best.Sum), c0_0); b0 = c0_1;`,
    ...rows.map((row) => `  a = f32x4.add(a, c${row}_0); b0 = f32x4.add(b0, c${row}_1);`),
    `  v128.store(at, f32x4.add(a, b0), Best.Sum);`,
    ...fold.map((line) => `  ${line}`),
    `  at += Best.Bytes;`,
    `  }`,
    `  ap += ld * 6; row += 6;`,
    `  }`,
    `  return seen;`,
    "}",
  ].join("\n");
}
