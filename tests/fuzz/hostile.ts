/** Values that no argument should be: each is named, and made anew for every use. */

/** What a getter or a function of ours throws: it may come out of a call as it is. */
export class Thrown extends Error {
  override readonly name = "Thrown";
}

/** What a value is replaced by. `original`: the value that would have been there. */
export interface Hostile {
  readonly name: string;
  make(original: unknown): unknown;
}

const constant = (name: string, make: () => unknown): Hostile => ({ name, make });

const NUMBERS = [0, -0, 1, -1, 2, 3, 0.5, NaN, Infinity, -Infinity, 255, 2 ** 24, 2 ** 31 - 1]
  .concat([2 ** 31, 2 ** 32, 2 ** 53, 2 ** 64, -(2 ** 31), -(2 ** 53), 1e308, 5e-324, 1e-40]);

const TEXTS = ["", "0", "f32", "f16", "bf16", "bool", "i8", "i32", "int8", "bhsd", "bottom-right"]
  .concat(["__proto__", "constructor", "toString", "\u0000\ud800", "x".repeat(100_000)]);

function cyclicArray(): unknown[] {
  const array: unknown[] = [1];
  array.push(array);
  return array;
}

function cyclicObject(): object {
  const object: Record<string, unknown> = {};
  object["data"] = object["shape"] = object["self"] = object;
  return object;
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** Every question about it is answered by an error. */
function throwingProxy(): object {
  const no = (): never => {
    throw new Thrown("a trap");
  };
  return new Proxy({}, { get: no, has: no, ownKeys: no, getOwnPropertyDescriptor: no });
}

function detachedArray(): Float32Array {
  const array = new Float32Array(64);
  array.buffer.transfer();
  return array;
}

/** A view that was in range once. */
function outOfBounds(): Float32Array {
  const buffer = new ArrayBuffer(1024, { maxByteLength: 2048 });
  const array = new Float32Array(buffer, 512, 64);
  buffer.resize(128);
  return array;
}

const OBJECTS: readonly Hostile[] = [
  constant("undefined", () => undefined),
  constant("null", () => null),
  constant("true", () => true),
  constant("false", () => false),
  constant("a symbol", () => Symbol("s")),
  constant("10n", () => 10n),
  constant("-1n", () => -1n),
  constant("2n ** 64n", () => 2n ** 64n),
  constant("a function", () => () => 1),
  constant("a class", () => class Odd {}),
  constant("an async function", () => async () => await Promise.resolve(1)),
  constant("[]", () => []),
  constant("{}", () => ({})),
  constant("[[1]]", () => [[1]]),
  constant("['1']", () => ["1"]),
  constant("[1n]", () => [1n]),
  constant("an object without a prototype", () => Object.create(null)),
  constant("a cyclic array", cyclicArray),
  constant("a cyclic object", cyclicObject),
  constant("a revoked proxy", revoked),
  constant("a proxy that throws", throwingProxy),
  constant("a sparse array", () => new Array(7)),
  constant("an array of 2 ** 32 - 1", () => new Array(2 ** 32 - 1)),
  constant("an array of a million", () => new Array(1_000_000).fill(1)),
  constant("a Date", () => new Date(0)),
  constant("a Map", () => new Map([[1, 2]])),
  constant("a resolved promise", () => Promise.resolve(1)),
  constant("an object whose constructor throws", () => ({
    get constructor(): never {
      throw new Thrown("constructor");
    },
  })),
  constant("an object that is no primitive", () => ({
    [Symbol.toPrimitive]: () => {
      throw new Thrown("toPrimitive");
    },
  })),
  constant("a tensor without values", () => ({ data: new Float32Array(0), shape: [0] })),
  constant("a tensor of rank 0", () => ({ data: new Float32Array(1), shape: [] })),
  constant("a tensor of rank 5", () => ({ data: new Float32Array(8), shape: [1, 1, 2, 2, 2] })),
  constant("a tensor that claims to be resident", () => ({
    ...{ shape: [1, 1, 1, 8], dtype: "f32", disposed: false, buffer: {}, byteOffset: 0 },
    read: () => Promise.resolve(new Float32Array(8)),
  })),
];

const ARRAYS: readonly Hostile[] = [
  constant("a DataView", () => new DataView(new ArrayBuffer(64))),
  constant("an ArrayBuffer", () => new ArrayBuffer(64)),
  constant("a BigInt64Array", () => new BigInt64Array(64)),
  constant("a Float64Array", () => new Float64Array(64)),
  constant("an Int32Array", () => new Int32Array(64)),
  constant("an Int8Array", () => new Int8Array(64)),
  constant("a Uint8Array", () => new Uint8Array(64)),
  constant("a Uint8ClampedArray", () => new Uint8ClampedArray(64)),
  constant("a Uint16Array", () => new Uint16Array(64)),
  constant("a Float16Array", () => new Float16Array(64)),
  constant("a Float32Array", () => new Float32Array(64)),
  constant("an empty Float32Array", () => new Float32Array(0)),
  constant("shared memory", () => new Float32Array(new SharedArrayBuffer(4096))),
  constant("a detached array", detachedArray),
  constant("an array beyond its buffer", outOfBounds),
  constant("NaN values", () => new Float32Array(4096).fill(NaN)),
  constant("huge values", () => new Float32Array(4096).fill(3e38)),
  constant("infinite values", () => new Float32Array(4096).fill(Infinity)),
  constant("tiny values", () => new Float32Array(4096).fill(1e-45)),
];

/** Small changes of what was there. */
const CHANGES: readonly Hostile[] = [
  { name: "one more", make: (x) => typeof x === "number" ? x + 1 : [x] },
  { name: "one less", make: (x) => typeof x === "number" ? x - 1 : [x, x] },
  { name: "negated", make: (x) => typeof x === "number" ? -x : !x },
  { name: "times 2 ** 16", make: (x) => typeof x === "number" ? x * 65536 : {} },
  { name: "as text", make: (x) => typeof x === "number" ? `${x}` : "x" },
  { name: "as a bigint", make: (x) => Number.isSafeInteger(x) ? BigInt(x as number) : 0n },
  { name: "reversed", make: (x) => isShort(x) ? x.toReversed() : x },
  { name: "doubled", make: (x) => isShort(x) ? [...x, ...x] : x },
  { name: "without its last", make: (x) => isShort(x) ? x.slice(0, -1) : x },
  { name: "frozen", make: (x) => isShort(x) ? Object.freeze([...x]) : x },
  { name: "transferred", make: transferred },
  { name: "shorter", make: (x) => isFloats(x) ? x.subarray(0, x.length >> 1) : x },
  { name: "resizable", make: resizable },
  { name: "behind a proxy", make: (x) => typeof x === "object" && x ? new Proxy(x, {}) : x },
];

const isFloats = (x: unknown): x is Float32Array<ArrayBuffer> =>
  ArrayBuffer.isView(x) && Object.prototype.toString.call(x) === "[object Float32Array]" &&
  x.byteLength > 0;

const isShort = (x: unknown): x is unknown[] => {
  try {
    return Array.isArray(x) && x.length < 64 && [...x].length > 0;
  } catch {
    return false; // a proxy, or getters
  }
};

function transferred(x: unknown): unknown {
  if (!isFloats(x)) return x;
  const copy = x.slice();
  copy.buffer.transfer();
  return copy;
}

/** The same values in a buffer that is made smaller at the next turn. */
function resizable(x: unknown): unknown {
  if (!isFloats(x)) return x;
  const buffer = new ArrayBuffer(x.byteLength, { maxByteLength: x.byteLength });
  const copy = new Float32Array(buffer);
  copy.set(x);
  queueMicrotask(() => buffer.resize(0));
  return copy;
}

/** All of them. */
export const HOSTILE: readonly Hostile[] = [
  ...OBJECTS,
  ...ARRAYS,
  ...CHANGES,
  ...NUMBERS.map((n) => constant(Object.is(n, -0) ? "-0" : `${n}`, () => n)),
  ...TEXTS.map((text) => constant(JSON.stringify(text).slice(0, 20), () => text)),
];
