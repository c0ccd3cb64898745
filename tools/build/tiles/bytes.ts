// Tiles of decode for rows of signed bytes behind their scale: products of 16-bit integers, two at a time, whose sums are
// exact. 15 bits of a query or of a weight are as good as float32 beside 8 of a key.
import { range } from "./pitch.ts";

/**
 * Scores: S[key][4 lanes] for `rows` keys at a time against `heads` query rows of 16-bit integers, whole groups of eight
 * columns; what lies behind a row is multiplied by zeros of the query. `scales`: what a unit of each query is worth.
 */
export function bytesScoreTile(name: string, rows: number, heads: number): string {
  const c = (r: number, h: number) => `c${r}_${h}`;
  const all = range(rows).flatMap((r) => range(heads).map((h) => c(r, h)));
  const step = (u: number) =>
    [
      "      " + range(rows).map((r) => `a${r} = v128.load8x8_s(p${r}, ${u * 8});`).join(" "),
      ...range(heads).map((h) =>
        `      b = v128.load(q${h}, ${u * 16}); ` +
        range(rows).map((r) => `${c(r, h)} = i32x4.add(${c(r, h)}, i32x4.dot_i16x8_s(a${r}, b));`)
          .join(" ")
      ),
    ].join("\n");
  const advance = (groups: number) =>
    `      ${range(rows).map((r) => `p${r} += ${groups * 8};`).join(" ")} ${
      range(heads).map((h) => `q${h} += ${groups * 16};`).join(" ")
    }`;
  const finish = range(rows).map((r) => {
    const sums = range(4).map((h) => `f32x4.convert_i32x4_s(${c(r, h < heads ? h : 0)})`).join(
      ", ",
    );
    const row = r === 0 ? "k" : `k + ld * ${r}`;
    return `    v128.store(sp, f32x4.mul(sumLanes(${sums}), f32x4.mul(s, v128.load_splat<f32>(${row}))), ${
      r * 16
    });`;
  });
  return [
    `export function ${name}(k: usize, q: usize, sp: usize, n: i32, columns: usize, ld: usize, qd: usize, scales: usize): void {`,
    `  const e = sp + (<usize>n << 4), s = v128.load(scales);`,
    `  do {`,
    `    ${range(rows).map((r) => `let p${r} = k + ld * ${r} + 4;`).join(" ")} ${
      range(heads).map((h) => `let q${h} = q + qd * ${h};`).join(" ")
    }`,
    `    const end = p0 + columns, end4 = p0 + (columns & ~31);`,
    `    ${all.map((name) => `let ${name} = i32x4.splat(0);`).join(" ")}`,
    `    let b: v128, ${range(rows).map((r) => `a${r}: v128`).join(", ")};`,
    `    while (p0 < end4) {\n${range(4).map(step).join("\n")}\n${advance(4)}\n    }`,
    `    while (p0 < end) {\n${step(0)}\n${advance(1)}\n    }`,
    ...finish,
    `    sp += ${rows * 16}; k += ld * ${rows};`,
    `  } while (sp < e);`,
    `}`,
  ].join("\n");
}

/**
 * Output: sums[head][columns] += W[pair of keys][head] V[pair][columns] in 32-bit integers; two weights of a head are one
 * word. `columns`: whole groups of eight; `sd`: bytes from one head's sums to the next.
 */
export function bytesOutputTile(name: string, heads: number): string {
  return [
    `export function ${name}(v: usize, w: usize, sums: usize, pairs: i32, columns: usize, ld: usize, sd: usize): void {`,
    `  const e = w + (<usize>pairs << 4);`,
    `  for (let c: usize = 0; c < columns; c += 8) {`,
    `    ${range(heads).map((h) => `const s${h} = sums + sd * ${h} + (c << 2);`).join(" ")}`,
    `    ${
      range(heads).map((h) => `let l${h} = v128.load(s${h}), h${h} = v128.load(s${h}, 16);`).join(
        " ",
      )
    }`,
    `    let r = v + 4 + c, p = w;`,
    `    do {`,
    `      const a = v128.load8x8_s(r), b = v128.load8x8_s(r + ld);`,
    `      const x = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11), y = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);`,
    ...range(heads).map((h) =>
      `      const p${h} = v128.load_splat<i32>(p, ${
        h * 4
      }); l${h} = i32x4.add(l${h}, i32x4.dot_i16x8_s(x, p${h})); h${h} = i32x4.add(h${h}, i32x4.dot_i16x8_s(y, p${h}));`
    ),
    `      r += ld * 2; p += 16;`,
    `    } while (p < e);`,
    `    ${
      range(heads).map((h) => `v128.store(s${h}, l${h}); v128.store(s${h}, h${h}, 16);`).join(" ")
    }`,
    `  }`,
    `}`,
  ].join("\n");
}
