// Tiles of decode for rows of 16-bit floats, widened in registers: a word holds two columns, so eight columns lie as
// four odd ones and four even ones, and queries and outputs lie alike ([8 columns]: 1 3 5 7, 0 2 4 6).
import { range } from "./pitch.ts";

/** How a type becomes float32, up to a factor that is a power of two. */
export interface Half {
  /** In the names of tiles. */
  readonly name: string;
  /** The bits of sign, exponent and mantissa once they are in place. */
  readonly mask: string;
  /** Bits by which the exponent of float32 is wider. */
  readonly shift: number;
}

/** float16 comes out 2^112 too small: 15 of exponent bias instead of 127. Infinity and NaN come out finite. */
export const F16: Half = { name: "f16", mask: "0x8fffe000", shift: 3 };
export const BF16: Half = { name: "bf16", mask: "0xffff0000", shift: 0 };

/** The odd columns of a word, and the even ones. */
function parts({ shift }: Half, word: string): readonly [odd: string, even: string] {
  if (shift === 0) return [`v128.and(${word}, mask)`, `i32x4.shl(${word}, 16)`];
  const moved = (x: string) => `v128.and(i32x4.shr_s(${x}, ${shift}), mask)`;
  return [moved(word), moved(`i32x4.shl(${word}, 16)`)];
}

/**
 * Scores: S[key][4 lanes] for `rows` keys at a time against `heads` query rows; whole groups of eight columns. With
 * `ahead` one word of every cache line at t is read on the way.
 */
export function halfScoreTile(half: Half, rows: number, heads: number): string {
  // chains of four cycles: a tile of two sums has one for the odd columns and one for the even
  const chains = rows * heads < 4 ? 2 : 1;
  const c = (r: number, h: number, k: number) => `c${r}_${h}_${k % chains}`;
  const all = range(rows).flatMap((r) =>
    range(heads).flatMap((h) => range(chains).map((k) => c(r, h, k)))
  );
  const eight = (u: number) =>
    [
      "      " + range(rows).map((r) => `w${r} = v128.load(p${r}, ${u * 16});`).join(" "),
      ...[0, 1].flatMap((k) => [
        "      " + range(rows).map((r) => `a${r} = ${parts(half, `w${r}`)[k]};`).join(" "),
        ...range(heads).map((h) =>
          `      b = v128.load(q${h}, ${u * 32 + k * 16}); ` +
          range(rows).map((r) => `${c(r, h, k)} = madd(a${r}, b, ${c(r, h, k)});`).join(" ")
        ),
      ]),
    ].join("\n");
  const advance = (groups: number) =>
    `      ${range(rows).map((r) => `p${r} += ${groups * 16};`).join(" ")} ${
      range(heads).map((h) => `q${h} += ${groups * 32};`).join(" ")
    }`;
  const sum = (r: number, h: number): string =>
    range(chains).map((k) => c(r, h, k)).reduce((x, y) => `f32x4.add(${x}, ${y})`);
  const finish = range(rows).map((r) => {
    const sums = range(4).map((h) => sum(r, h < heads ? h : 0)).join(", ");
    return `    v128.store(sp, sumLanes(${sums}), ${r * 16});`;
  });
  return [
    `export function gemv_s_${half.name}_${rows}x${heads}(k: usize, q: usize, sp: usize, n: i32, D: i32, ld: usize, qd: usize): void {`,
    `  const e = sp + (<usize>n << 4), row = <usize>D << 1, mask = i32x4.splat(${half.mask});`,
    `  do {`,
    `    ${range(rows).map((r) => `let p${r} = k + ld * ${r};`).join(" ")} ${
      range(heads).map((h) => `let q${h} = q + qd * ${h};`).join(" ")
    }`,
    `    const end = k + row;`,
    `    ${all.map((name) => `let ${name} = f32x4.splat(0);`).join(" ")}`,
    `    let b: v128, ${range(rows).map((r) => `w${r}: v128, a${r}: v128`).join(", ")};`,
    `    while (p0 < end) {\n${eight(0)}\n${advance(1)}\n    }`,
    ...finish,
    `    sp += ${rows * 16}; k += ld * ${rows};`,
    `  } while (sp < e);`,
    `}`,
  ].join("\n");
}

/** Output: O[head][columns] += factor P[key][head] V[key][columns], `rows` keys and `heads` heads at a time, O in L1. */
export function halfOutputTile(half: Half, rows: number, heads: number): string {
  const eight = (u: number) =>
    [0, 1].flatMap((k) => [
      "        " +
      range(heads).map((h) => `c${h} = v128.load(o${h}, ${u * 32 + k * 16});`).join(" "),
      ...range(rows).map((r) =>
        `        a = v128.load(r${r}, ${u * 16}); a = ${parts(half, "a")[k]}; ` +
        range(heads).map((h) => `c${h} = madd(a, p${r}_${h}, c${h});`).join(" ")
      ),
      "        " +
      range(heads).map((h) => `v128.store(o${h}, c${h}, ${u * 32 + k * 16});`).join(" "),
    ]).join("\n");
  const advance = (groups: number) =>
    `        ${range(heads).map((h) => `o${h} += ${groups * 32};`).join(" ")} ${
      range(rows).map((r) => `r${r} += ${groups * 16};`).join(" ")
    }`;
  return [
    `export function gemv_o_${half.name}_${rows}x${heads}(v: usize, pp: usize, o: usize, n: i32, D: i32, ld: usize, od: usize, heads: i32, factor: v128): void {`,
    `  const e = pp + (<usize>n << 4), row = <usize>D << 1, mask = i32x4.splat(${half.mask});`,
    `  let a: v128, ${range(heads).map((h) => `c${h}: v128`).join(", ")};`,
    `  do {`,
    `    for (let h = 0; h < heads; h += ${heads}) {`,
    `      ${
      range(heads).map((h) => `let o${h} = o + od * <usize>(h + ${h});`).join(" ")
    } const p = pp + (<usize>h << 2);`,
    `      ${range(rows).map((r) => `let r${r} = v + ld * ${r};`).join(" ")}`,
    `      ${
      range(rows).map((r) =>
        range(heads).map((h) =>
          `const p${r}_${h} = f32x4.mul(factor, v128.load_splat<f32>(p, ${r * 16 + h * 4}));`
        ).join(" ")
      ).join(" ")
    }`,
    `      const end = r0 + row;`,
    `      while (r0 < end) {\n${eight(0)}\n${advance(1)}\n      }`,
    `    }`,
    `    v += ld * ${rows}; pp += ${rows * 16};`,
    `  } while (pp < e);`,
    `}`,
  ].join("\n");
}

/**
 * The same for four heads, eight columns of them in registers over all n keys: nothing is widened twice, and O is read and
 * written once. Weights carry the factor. For rows of V that lie close enough to stay in the first-level cache.
 */
export function halfColumnsTile(half: Half): string {
  const key = (u: number) => {
    const [odd, even] = parts(half, "w");
    return [
      `      w = v128.load(${u === 0 ? "r" : "r + ld"}); a = ${odd}; b = ${even};`,
      ...range(4).map((h) =>
        `      w = v128.load_splat<f32>(p, ${
          16 * u + 4 * h
        }); c${h} = madd(a, w, c${h}); d${h} = madd(b, w, d${h});`
      ),
    ].join("\n");
  };
  const each = (text: (h: number) => string) => range(4).map(text).join(" ");
  return [
    `export function gemv_o_${half.name}_x4(v: usize, pp: usize, o: usize, n: i32, D: i32, ld: usize, od: usize): void {`,
    `  const e = pp + (<usize>n << 4), e2 = e - 16, mask = i32x4.splat(${half.mask});`,
    `  let a: v128, b: v128, w: v128;`,
    `  for (const end = v + (<usize>D << 1); v < end; v += 16, o += 32) {`,
    `    ${each((h) => `const o${h} = o + od * ${h};`)}`,
    `    ${each((h) => `let c${h} = v128.load(o${h}), d${h} = v128.load(o${h}, 16);`)}`,
    `    let r = v, p = pp;`,
    `    while (p < e2) {\n${key(0)}\n${key(1)}\n      r += ld * 2; p += 32;\n    }`,
    `    if (p < e) {\n${key(0)}\n    }`,
    `    ${each((h) => `v128.store(o${h}, c${h}); v128.store(o${h}, d${h}, 16);`)}`,
    `  }`,
    `}`,
  ].join("\n");
}
