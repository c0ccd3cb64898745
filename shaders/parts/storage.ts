// Storage buffers: how operands are declared, read and written. Arithmetic is f32; 16-bit values are
// widened as they are read. A kind that is `scalar` takes any column count and any alignment; the others
// read four columns at once and need both to be multiples of four elements.
import { shaderName } from "../../src/tensor/operands.ts";
import { type AddressedName, columnsOf } from "./address.ts";
import { type BufferName, declare } from "./bindings.ts";
import { each } from "./text.ts";

/** How an operand is stored. */
export interface StorageKind {
  /** `i8`: a row is a scale in float32, and behind it its bytes. */
  readonly dtype: "f32" | "f16" | "bf16" | "i8";
  readonly scalar: boolean;
  /** Where its rows lie in the pages of a cache: how the page of a row is found, by a shift where its rows allow that. */
  readonly paged?: "shift" | "divide";
}

/** f32 in vec4: what kernels write and scratch holds, when columns come in fours. */
export const VECTORS: StorageKind = { dtype: "f32", scalar: false };

/** A short name, part of a variant's key. */
export function kindName({ dtype, scalar, paged }: StorageKind): string {
  return `${dtype}${scalar ? "s" : ""}${paged ? ` paged ${paged}` : ""}`;
}

/** The kind that has a name. */
export function kindNamed(name: string): StorageKind {
  const scalar = name.endsWith("s");
  return { dtype: (scalar ? name.slice(0, -1) : name) as StorageKind["dtype"], scalar };
}

function elementType({ dtype, scalar }: StorageKind): string {
  if (dtype === "f32") return scalar ? "f32" : "vec4<f32>";
  if (dtype === "i8") return "u32";
  return scalar ? "u32" : "vec2<u32>";
}

const WIDEN = {
  // unpack2x16float keeps subnormals where a decoder made by hand would lose them (SwiftShader)
  f16: (word: string) => `unpack2x16float(${word})`,
  bf16: (word: string) => `bitcast<vec2<f32>>(vec2<u32>(${word} << 16u, ${word} & 0xffff0000u))`,
};

/** Binds a buffer of a scalar kind and defines `fn <name>_at(i)`: one element. */
export function elementReader(buffer: BufferName, kind: StorageKind): string {
  return `${declare(buffer, elementType(kind))}\n${elementFunction(shaderName(buffer), kind)}`;
}

function elementFunction(name: string, { dtype }: StorageKind): string {
  if (dtype === "i8") throw new TypeError("rows of bytes are not read element by element");
  const body = dtype === "f32"
    ? `return ${name}[i];`
    : `let w = ${WIDEN[dtype](`${name}[i >> 1u]`)}; return select(w.x, w.y, (i & 1u) == 1u);`;
  return `fn ${name}_at(i: u32) -> f32 { ${body} }`;
}

/**
 * Binds an operand of rows and defines `fn load_<name>(at, c)`: columns 4c .. 4c+3 of the row that begins
 * at element `at`. Scalar kinds give 0 past the last column, the others must not be asked for those.
 */
export function rowsReader(buffer: AddressedName, kind: StorageKind): string {
  const name = shaderName(buffer), columns = `U.${columnsOf(buffer)}`;
  const text = [declare(buffer, elementType(kind))];
  if (kind.scalar) {
    text.push(
      elementFunction(name, kind),
      `fn load_${name}(at: u32, c: u32) -> vec4<f32> {
  var x = vec4<f32>(0.0); let i = at + 4u * c;
${each(4, (e) => `  if (4u * c + ${e}u < ${columns}) { x[${e}] = ${name}_at(i + ${e}u); }`)}
  return x;
}`,
    );
  } else if (kind.dtype === "i8") { // four bytes a word, the lowest first; the shift brings back their sign
    text.push(`fn load_${name}(at: u32, c: u32) -> vec4<f32> {
  let w = ${name}[(at >> 2u) + 1u + c]; let bytes = bitcast<vec4<i32>>(vec4<u32>(w << 24u, w << 16u, w << 8u, w));
  return vec4<f32>(bytes >> vec4<u32>(24u)) * bitcast<f32>(${name}[at >> 2u]);
}`);
  } else if (kind.dtype === "f32") {
    text.push(
      `fn load_${name}(at: u32, c: u32) -> vec4<f32> { return ${name}[(at >> 2u) + c]; }`,
    );
  } else {
    text.push(`fn load_${name}(at: u32, c: u32) -> vec4<f32> {
  let w = ${name}[(at >> 2u) + c];
  return vec4<f32>(${WIDEN[kind.dtype]("w.x")}, ${WIDEN[kind.dtype]("w.y")});
}`);
  }
  return text.join("\n");
}

/** Binds a result in f32 and defines `fn store_<name>(at, c, x)`; those past the last column are dropped. */
export function rowsWriter(buffer: AddressedName, scalar: boolean): string {
  const name = shaderName(buffer), columns = `U.${columnsOf(buffer)}`;
  const kind: StorageKind = { dtype: "f32", scalar };
  const body = scalar
    ? each(
      4,
      (e) => `  if (4u * c + ${e}u < ${columns}) { ${name}[at + 4u * c + ${e}u] = x[${e}]; }`,
    )
    : `  if (4u * c < ${columns}) { ${name}[(at >> 2u) + c] = x; }`;
  return `${declare(buffer, elementType(kind), "read_write")}
fn store_${name}(at: u32, c: u32, x: vec4<f32>) {
${body}
}`;
}
