// Tiles of decode for rows of signed bytes behind their scale: products of 16-bit integers, two at a time, whose sums are
// exact. 15 bits of a query or of a weight are as good as float32 beside 8 of a key.
import { range } from "./pitch.ts";

/**
 * Scores: S[key][4 lanes] for `rows` keys at a time against `heads` query rows of 16-bit integers, whole groups of eight
 * columns; what lies behind a row is multiplied by zeros of the query. `scales`: what a unit of each query is worth. Every 32
 * columns a word is read at t, `step` bytes further each time.
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
    const sums = range(4).map((h) => c(r, h < heads ? h : 0)).join(", ");
    const row = r === 0 ? "k" : `k + ld * ${r}`,
      unit = `f32x4.mul(s, v128.load_splat<f32>(${row}))`;
    return `    v128.store(sp, f32x4.mul(sumIntegers(${sums}), ${unit}), ${r * 16});`;
  });
  return [
    `export function ${name}(k: usize, q: usize, sp: usize, n: i32, columns: usize, ld: usize, qd: usize, scales: usize, t: usize, step: usize): i32 {`,
    `  const e = sp + (<usize>n << 4), s = v128.load(scales); let x = 0;`,
    `  do {`,
    `    ${range(rows).map((r) => `let p${r} = k + ld * ${r} + 4;`).join(" ")} ${
      range(heads).map((h) => `let q${h} = q + qd * ${h};`).join(" ")
    }`,
    `    const end = p0 + columns, end4 = p0 + (columns & ~31);`,
    `    ${all.map((name) => `let ${name} = i32x4.splat(0);`).join(" ")}`,
    `    let b: v128, ${range(rows).map((r) => `a${r}: v128`).join(", ")};`,
    `    while (p0 < end4) {\n${range(4).map(step).join("\n")}\n${
      advance(4)
    } x += load<i32>(t); t += step;\n    }`,
    `    while (p0 < end) {\n${step(0)}\n${advance(1)}\n    }`,
    ...finish,
    `    sp += ${rows * 16}; k += ld * ${rows};`,
    `  } while (sp < e);`,
    `  return x;`,
    `}`,
  ].join("\n");
}

/**
 * Output: sums[head][columns] += W[pair of keys][head] V[pair][columns] in 32-bit integers; two weights of a head are one
 * word. `columns`: whole groups of eight; `sd`: bytes from one head's sums to the next.
 */
export function bytesOutputTile(name: string, heads: number): string {
  const pair = (u: number) => {
    const row = (n: number) => n === 0 ? "r" : `r + ld * ${n}`;
    return [
      `        a = v128.load8x8_s(${row(2 * u)}); b = v128.load8x8_s(${row(2 * u + 1)});`,
      `        x = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11); y = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);`,
      ...range(heads).map((h) =>
        `        a = v128.load_splat<i32>(p, ${
          16 * u + h * 4
        }); l${h} = i32x4.add(l${h}, i32x4.dot_i16x8_s(x, a)); h${h} = i32x4.add(h${h}, i32x4.dot_i16x8_s(y, a));`
      ),
    ].join("\n");
  };
  return [
    `export function ${name}(v: usize, w: usize, sums: usize, pairs: i32, columns: usize, ld: usize, sd: usize): void {`,
    `  const e = w + (<usize>pairs << 4), e2 = e - 16;`,
    `  let a: v128, b: v128, x: v128, y: v128;`,
    `  for (let c: usize = 0; c < columns; c += 8) {`,
    `    ${range(heads).map((h) => `const s${h} = sums + sd * ${h} + (c << 2);`).join(" ")}`,
    `    ${
      range(heads).map((h) => `let l${h} = v128.load(s${h}), h${h} = v128.load(s${h}, 16);`).join(
        " ",
      )
    }`,
    `    let r = v + 4 + c, p = w;`,
    `    while (p < e2) {\n${pair(0)}\n${pair(1)}\n        r += ld * 4; p += 32;\n    }`,
    `    if (p < e) {\n${pair(0)}\n    }`,
    `    ${
      range(heads).map((h) => `v128.store(s${h}, l${h}); v128.store(s${h}, h${h}, 16);`).join(" ")
    }`,
    `  }`,
    `}`,
  ].join("\n");
}
