// Tiles of decode: rows of K and V are read once, in address order, columns in lanes.
import { range } from "./pitch.ts";

/**
 * Decode scores: S[key][4 lanes] for `rows` keys against `heads` query rows that share them, columns
 * in lanes and `chains` partial sums each. With `ahead` it reads one word of every cache line at t on the way, in
 * address order: the hardware prefetcher follows one stream, not several rows at once (7 to 19 GB/s). Spread over the
 * products, not before them: loads retire in order, so that a burst of misses holds up what follows (268 MB of K and V
 * on an Intel Xeon, four rows to a kv head: 49 to 41 ms, D 128). A tile of one row is such a stream by itself, and
 * touching costs it (24.5 to 18 GB/s).
 */
export function decodeScoreTile(
  name: string,
  rows: number,
  heads: number,
  chains: number,
  ahead: boolean,
): string {
  const c = (r: number, h: number, k: number) => `c${r}_${h}_${k}`;
  const all = range(rows).flatMap((r) =>
    range(heads).flatMap((h) => range(chains).map((k) => c(r, h, k)))
  );
  const touch = (u: number) =>
    ahead && u % (4 / rows) === 0 ? ` x += load<i32>(t, ${u * 16 * rows});` : "";
  const vector = (u: number) =>
    [
      "      " + range(rows).map((r) => `a${r} = v128.load(p${r}, ${u * 16});`).join(" ") +
      touch(u),
      ...range(heads).map((h) =>
        `      b = v128.load(q${h}, ${u * 16}); ` +
        range(rows).map((r) => {
          const x = c(r, h, u % chains);
          return `${x} = madd(a${r}, b, ${x});`;
        }).join(" ")
      ),
    ].join("\n");
  const single = [
    "      " + range(rows).map((r) => `a${r} = v128.load_zero<f32>(p${r});`).join(" "),
    ...range(heads).map((h) =>
      `      b = v128.load(q${h}); ` +
      range(rows).map((r) => `${c(r, h, 0)} = madd(a${r}, b, ${c(r, h, 0)});`).join(" ")
    ),
  ].join("\n");
  const advance = (bytes: number) =>
    `      ${range(rows).map((r) => `p${r} += ${bytes};`).join(" ")} ${
      range(heads).map((h) => `q${h} += ${bytes};`).join(" ")
    }`;
  const sum = (r: number, h: number): string =>
    range(chains).map((k) => c(r, h, k)).reduce((x, y) => `f32x4.add(${x}, ${y})`);
  const finish = range(rows).map((r) => {
    const parts = range(4).map((h) => `const s${h} = ${h < heads ? sum(r, h) : "s0"};`).join(" ");
    return `    { ${parts} v128.store(sp, sumLanes(s0, s1, s2, s3), ${r * 16}); }`;
  });
  return [
    `export function ${name}(k: usize, q: usize, sp: usize, n: i32, D: i32, ld: usize, qd: usize, t: usize): i32 {`,
    `  const e = sp + (<usize>n << 4), row = <usize>D << 2${
      ahead ? `, step: usize = ld == row ? ${128 * rows} : 0` : ""
    }; let x: i32 = 0;`,
    `  do {`,
    `    ${range(rows).map((r) => `let p${r} = k + ld * ${r};`).join(" ")} ${
      range(heads).map((h) => `let q${h} = q + qd * ${h};`).join(" ")
    }`,
    `    const end = k + row, end32 = k + (row & ~127), end4 = k + (row & ~15);`,
    `    ${all.map((name) => `let ${name} = f32x4.splat(0);`).join(" ")}`,
    `    let b: v128, ${range(rows).map((r) => `a${r}: v128`).join(", ")};`,
    `    while (p0 < end32) {\n${range(8).map(vector).join("\n")}\n${advance(128)}${
      ahead ? " t += step;" : ""
    }\n    }`,
    `    while (p0 < end4) {\n${vector(0)}\n${advance(16)}\n    }`,
    `    while (p0 < end) {\n${single}\n${advance(4)}\n    }`,
    ...finish,
    `    sp += ${rows * 16}; k += ld * ${rows};`,
    `  } while (sp < e);`,
    `  return x;`,
    `}`,
  ].join("\n");
}

/** Decode output: O[head][columns] += P[key][head] V[key][columns], `rows` keys at a time, O in L1. */
export function decodeOutputTile(
  name: string,
  rows: number,
  heads: number,
  ahead: boolean,
): string {
  const touch = ahead ? " x += load<i32>(t); t += line;" : "";
  const vector = (u: number, touches: string = "") =>
    [
      "        " + range(heads).map((h) => `c${h} = v128.load(o${h}, ${u * 16});`).join(" ") +
      touches,
      ...range(rows).map((r) =>
        `        a = v128.load(r${r}, ${u * 16}); ` +
        range(heads).map((h) => `c${h} = madd(a, p${r}_${h}, c${h});`).join(" ")
      ),
      "        " + range(heads).map((h) => `v128.store(o${h}, c${h}, ${u * 16});`).join(" "),
    ].join("\n");
  const single = vector(0).replaceAll(/a = v128\.load\((r\d), 0\)/g, "a = v128.load_zero<f32>($1)");
  const advance = (bytes: number) =>
    `        ${range(heads).map((h) => `o${h} += ${bytes};`).join(" ")} ${
      range(rows).map((r) => `r${r} += ${bytes};`).join(" ")
    }`;
  return [
    `export function ${name}(v: usize, pp: usize, o: usize, n: i32, D: i32, ld: usize, od: usize, heads: i32, t: usize): i32 {`,
    `  const e = pp + (<usize>n << 4), row = <usize>D << 2${
      ahead ? `, line: usize = ld == row ? (heads > ${heads} ? 64 : 128) : 0` : ""
    }; let x: i32 = 0;`,
    `  let a: v128, ${range(heads).map((h) => `c${h}: v128`).join(", ")};`,
    `  do {`,
    `    for (let h = 0; h < heads; h += ${heads}) {`,
    `      ${
      range(heads).map((h) => `let o${h} = o + od * <usize>(h + ${h});`).join(" ")
    } const p = pp + (<usize>h << 2);`,
    `      ${range(rows).map((r) => `let r${r} = v + ld * ${r};`).join(" ")}`,
    `      ${
      range(rows).map((r) =>
        range(heads).map((h) => `const p${r}_${h} = v128.load_splat<f32>(p, ${r * 16 + h * 4});`)
          .join(" ")
      ).join(" ")
    }`,
    `      const end = r0 + row, end16 = r0 + (row & ~63), end4 = r0 + (row & ~15);`,
    `      while (r0 < end16) {\n${
      range(4).map((u) => vector(u, u & 1 ? "" : touch)).join("\n")
    }\n${advance(64)}\n      }`,
    `      while (r0 < end4) {\n${vector(0)}\n${advance(16)}\n      }`,
    `      while (r0 < end) {\n${single}\n${advance(4)}\n      }`,
    `    }`,
    `    v += ld * ${rows}; pp += ${rows * 16};`,
    `  } while (pp < e);`,
    `  return x;`,
    `}`,
  ].join("\n");
}
