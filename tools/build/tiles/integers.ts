// Tiles of bytes: four products of a signed byte and a 7-bit one, and their sum, in each lane. Of scores, queries are signed
// and keys have 7 bits; of outputs, values are signed and weights have 7 bits.
import { FORWARD_PITCH, range } from "./pitch.ts";

/** Groups of four columns in a turn; they come in multiples of four. measured on Zen 3: four are as fast as two, one is not. */
const UNROLLED = 2;

const VECTORS = [0, 1];

/** The loop over `bytes` bytes of each row: `product` of four of them, a, and of those of the panel, b, joins its sum, c. */
function loop(
  bytes: string,
  rows: number,
  product: (a: string, b: string, c: string) => string,
): string[] {
  const step = (u: number) =>
    [
      `    b0 = v128.load(bp, ${u * 32}); b1 = v128.load(bp, ${u * 32 + 16});`,
      ...range(rows).map((r) =>
        `    a = v128.load_splat<i32>(p${r}, ${u * 4}); ` +
        VECTORS.map((v) => `c${r}_${v} = ${product("a", `b${v}`, `c${r}_${v}`)};`).join(" ")
      ),
    ].join("\n");
  return [
    `  const end = p0 + ${bytes};`,
    `  do {\n${range(UNROLLED).map(step).join("\n")}`,
    `    bp += ${UNROLLED * 32}; ${range(rows).map((r) => `p${r} += ${UNROLLED * 4};`).join(" ")}`,
    `  } while (p0 < end);`,
  ];
}

/**
 * S^T[key][8 queries] = mean + start + unit * (sums + K rows . Q panel) for `groups` times `rows` successive keys of `bytes`
 * bytes, `ld` apart; the largest of each query is folded into the two vectors at ip + 64, as in scoreTile. `lanes`: sums
 * that products start from, and units of the queries; `units`: those of the keys. `dot`: what adds four products, of
 * micro/vmath.ts. The upper half is stored first: see `stores` in products.ts.
 *
 * measured on Zen 3, in the first-level cache, D 64 and 128, beside 44.5 and 45.4 GFLOP/s of the f32 tile: dotPairs with 3 / 4 /
 * 6 rows 76.1 / 78.2 / 76.5 and 84.4 / 85.9 (six spill where the ones are in memory: 47); dotFours, which is five instructions
 * there, with 3 / 4 / 6 rows 58 / 63 / 63 and 64 / 68 / 69. Where it is one, six rows have the sums in flight that it needs.
 */
export function integerScoreTile(name: string, rows: number, dot: string): string {
  const all = range(rows).flatMap((r) => VECTORS.map((v) => ({ r, v, c: `c${r}_${v}` })));
  const finish = range(rows).map((r) =>
    `  a = v128.load_splat<f32>(units, ${r * 4}); ` +
    VECTORS.map((v) =>
      `c${r}_${v} = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(c${r}_${v}), f32x4.mul(u${v}, a)), s${v});`
    ).join(" ")
  );
  const stores = all.toSorted((a, b) => a.r - b.r || b.v - a.v).map(({ r, v, c }) =>
    `v128.store(cp, ${c}, ${r * FORWARD_PITCH + v * 16});`
  );
  const most = (v: number) =>
    all.filter((one) => one.v === v).reduce(
      (x, { c }) => `f32x4.pmax(${x}, ${c})`,
      `v128.load(ip, ${64 + v * 16})`,
    );
  return [
    `export function ${name}(ap: usize, q: usize, cp: usize, bytes: usize, ld: usize, lanes: usize, units: usize, mean: usize, ip: usize, groups: i32): void {`,
    `  const ones = i16x8.splat(1), u0 = v128.load(lanes, 32), u1 = v128.load(lanes, 48);`,
    `  const s0 = f32x4.add(v128.load(mean), v128.load(ip)), s1 = f32x4.add(v128.load(mean, 16), v128.load(ip, 16));`,
    `  for (; groups > 0; --groups) {`,
    `  let a: v128, bp = q, b0 = v128.load(lanes), b1 = v128.load(lanes, 16);`,
    `  ${all.map(({ c, v }) => `let ${c} = b${v};`).join(" ")}`,
    `  ${range(rows).map((r) => `let p${r} = ap + ld * ${r};`).join(" ")}`,
    ...loop("bytes", rows, (a, b, c) => `${dot}(${b}, ${a}, ${c}, ones)`),
    ...finish,
    `  ${stores.join(" ")}`,
    `  b0 = ${most(0)}; b1 = ${most(1)};`,
    `  v128.store(ip, b1, 80); v128.store(ip, b0, 64);`,
    `  ap += ld * ${rows}; cp += ${rows * FORWARD_PITCH}; units += ${rows * 4};`,
    `  }`,
    `}`,
  ].join("\n");
}

/**
 * O^T[column][8 queries] += unit * u (V^T rows . P^T) + mean * sum for `groups` times `rows` successive columns, over n keys, a
 * multiple of eight: P as [4 keys][8 queries][4 bytes], V^T as [column][key] bytes, `ld` apart. `lanes`: units u of weights, and
 * their sums; `units`, `means`: those of the columns.
 *
 * measured on Zen 3, in the first-level cache, 96 keys, 60 and 120 columns, beside 44 GFLOP/s of the f32 tile: dotPairs with
 * 3 / 4 / 5 rows 75 / 82 / 74 and 72 / 79 / 78; dotFours, where it is five instructions, with 4 / 6 rows 64 / 61 and 63 / 62.
 */
export function integerOutputTile(name: string, rows: number, dot: string): string {
  const all = range(rows).flatMap((r) => VECTORS.map((v) => ({ r, v, c: `c${r}_${v}` })));
  const finish = range(rows).map((r) =>
    `  a = v128.load_splat<f32>(units, ${r * 4}); b0 = v128.load_splat<f32>(means, ${r * 4}); ` +
    VECTORS.map((v) => {
      const sum = `f32x4.mul(f32x4.convert_i32x4_s(c${r}_${v}), v128.load(lanes, ${v * 16}))`;
      const old = `v128.load(cp, ${r * 32 + v * 16})`;
      const c = `madd(b0, v128.load(lanes, ${32 + v * 16}), ${old})`;
      return `c${r}_${v} = madd(a, ${sum}, ${c});`;
    }).join(" ")
  );
  const stores = all.toSorted((a, b) => a.r - b.r || b.v - a.v).map(({ r, v, c }) =>
    `v128.store(cp, ${c}, ${r * 32 + v * 16});`
  );
  return [
    `export function ${name}(vp: usize, p: usize, cp: usize, n: usize, ld: usize, lanes: usize, units: usize, means: usize, groups: i32): void {`,
    `  const ones = i16x8.splat(1);`,
    `  for (; groups > 0; --groups) {`,
    `  let a: v128, bp = p, b0 = i32x4.splat(0), b1 = b0;`,
    `  ${all.map(({ c }) => `let ${c} = b0;`).join(" ")}`,
    `  ${range(rows).map((r) => `let p${r} = vp + ld * ${r};`).join(" ")}`,
    ...loop("n", rows, (a, b, c) => `${dot}(${a}, ${b}, ${c}, ones)`),
    ...finish,
    `  ${stores.join(" ")}`,
    `  vp += ld * ${rows}; cp += ${rows * 32}; units += ${rows * 4}; means += ${rows * 4};`,
    `  }`,
    `}`,
  ].join("\n");
}
