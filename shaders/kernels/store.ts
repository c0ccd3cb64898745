// Storing rows in a cache: each row of every head goes to its place in a page, in the type of the cache.
//
//   for each row r, head h, four columns c                   one thread each
//     place = schedule[r]                                     page times rows of a page, plus the row there
//     target[page][h][row of the page][c] = source[r][h][c]   rounded to f16 or bf16
//     i8: m = max |source[r][h]|, scale = m / 127             the first thread of a row writes it in front
import { PARAMS } from "../features/params.ts";
import { declare } from "../parts/bindings.ts";
import { FLOAT_CLASSES } from "../parts/floats.ts";
import { rowsReader, type StorageKind } from "../parts/storage.ts";
import { each, tidy } from "../parts/text.ts";
import { ROUND } from "./elementwise.ts";

/** Threads of a workgroup. */
export const STORE_THREADS = 64;

/** Workgroups along x: more of them go to y. */
export const STORE_ROW = 16384;

type PoolType = StorageKind["dtype"];

/** `x` (vec4) of column group `c` goes to the row that begins at element `at`. */
function write(dtype: PoolType): string {
  switch (dtype) {
    case "f32":
      return "result[(at >> 2u) + c] = x;";
    case "f16":
    case "bf16":
      return "result[(at >> 2u) + c] = vec2<u32>(narrow(x.x) | (narrow(x.y) << 16u), narrow(x.z) | (narrow(x.w) << 16u));";
    case "i8":
      return `var most = 0.0; var finite = true;
  for (var i = 0u; i < columns4; i++) {
    let y = load_k(from_row, i);
${each(4, (e) => `    finite = finite && !is_nan(y[${e}]) && !is_plus_infinity(abs(y[${e}]));`)}
    most = max(most, max(max(abs(y.x), abs(y.y)), max(abs(y.z), abs(y.w))));
  }
  let up = select(1.0, 18446744073709551616.0, most < 1e-30); // 127 / most may be beyond float32
  let inverse = select(0.0, 127.0 / (most * up), finite && most > 0.0);
  let b = vec4<u32>(vec4<i32>(round(x * up * inverse))) & vec4<u32>(255u);
  result[(at >> 2u) + 1u + c] = b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
  if (c == 0u) { result[at >> 2u] = select(0x7fc00000u, bitcast<u32>(most / 127.0), finite); }`;
  }
}

const ELEMENT = { f32: "vec4<f32>", f16: "vec2<u32>", bf16: "vec2<u32>", i8: "u32" };

/** WGSL: rows of `source` into a pool of type `dtype`. Both are addressed as k. */
export function storeShader(source: StorageKind, dtype: PoolType): string {
  return tidy(`${PARAMS}
${declare("schedule", "u32")}
${rowsReader("k", source)}
${declare("result", ELEMENT[dtype], "read_write")}
${dtype === "f16" || dtype === "bf16" ? ROUND[dtype] : ""}
${dtype === "i8" ? FLOAT_CLASSES : ""}
@compute @workgroup_size(${STORE_THREADS})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let columns4 = (U.head_dim + 3u) >> 2u;
  let i = (wid.y * ${STORE_ROW}u + U.item_base + wid.x) * ${STORE_THREADS}u + li;
  let c = i % columns4; let h = i / columns4 % U.kv_heads; let r = i / columns4 / U.kv_heads;
  if (r >= U.count) { return; }
  let from_row = U.k_at + r / U.length_k * U.k_batch + h * U.k_head + r % U.length_k * U.k_row;
  let place = schedule[r];
  let at = U.v_at + place / U.page_rows * U.v_batch + h * U.v_head + place % U.page_rows * U.v_row;
  let x = load_k(from_row, c);
  ${write(dtype)}
}`);
}
