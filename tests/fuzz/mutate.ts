/** Arguments as trees: one node of them is replaced by a hostile value, or by a property that misbehaves. */
import fc from "fast-check";
import { HOSTILE, type Hostile, Thrown } from "./hostile.ts";

/** How the new value gets to be seen. */
const MANNERS = [
  "plain",
  "plain",
  "plain",
  "plain",
  "getter throws",
  "getter changes",
  "unknown key",
] as const;

/** A change of some arguments. */
export interface Mutation {
  /** Which node, counted modulo how many there are. */
  readonly node: number;
  readonly manner: typeof MANNERS[number];
  readonly value: Hostile;
}

/** Any change. */
export const mutations: fc.Arbitrary<Mutation> = fc.record({
  node: fc.nat(10_000),
  manner: fc.constantFrom(...MANNERS),
  value: fc.constantFrom(...HOSTILE).map((value) => ({
    ...value,
    [fc.toStringMethod]: () => value.name,
  })),
});

interface Place {
  readonly holder: object;
  readonly key: string | number;
  readonly path: string;
}

/** Plain objects and arrays can be looked into. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  return kindOf(value) === "plain";
}

/** What an object is, without a question that it could answer by an error. */
export function kindOf(value: object): "plain" | "array of numbers" | "other" {
  try {
    if (ArrayBuffer.isView(value)) return "array of numbers";
    const prototype = Object.getPrototypeOf(value);
    const plain = prototype === Object.prototype || prototype === Array.prototype;
    if (Array.isArray(value) && value.length > 64) return "other"; // which takes too long to copy
    Object.getOwnPropertyDescriptors(value);
    return plain ? "plain" : "other";
  } catch {
    return "other"; // a proxy
  }
}

/** Every place of a tree, from the top; `depth` keeps them few. */
function placesOf(tree: object, path: string, depth = 0): Place[] {
  return Object.entries(Object.getOwnPropertyDescriptors(tree)).flatMap(([key, { value }]) => {
    if (key === "length") return [];
    const here = `${path}.${key}`;
    const inner = depth < 4 && isPlain(value) ? placesOf(value, here, depth + 1) : [];
    return [{ holder: tree, key, path: here }, ...inner];
  });
}

/** Sets a property, whatever is there. */
function put(holder: object, key: string | number, value: unknown): void {
  if (!Object.isExtensible(holder)) return;
  Object.defineProperty(holder, key, {
    ...{ value, configurable: true, enumerable: true, writable: true },
  });
}

/** Changes arguments in place; what was done, in words. */
export function mutate(args: unknown[], { node, manner, value }: Mutation): string {
  const places = placesOf(args, "args");
  const { holder, key, path } = places[node % places.length]!;
  const original = Object.getOwnPropertyDescriptor(holder, key)?.value;
  const made = value.make(original);
  if (manner === "unknown key" && isPlain(original) && !Array.isArray(original)) {
    put(original, value.name, made);
    return `${path} has ${value.name} too`;
  }
  if (manner === "plain" || manner === "unknown key" || holder === args) {
    put(holder, key, made);
    return `${path} is ${value.name}`;
  }
  let reads = 0;
  if (!Object.isExtensible(holder)) return `${path} stays`;
  Object.defineProperty(holder, key, {
    configurable: true,
    enumerable: true,
    get() {
      if (manner === "getter changes") return reads++ === 0 ? original : made;
      throw new Thrown(path);
    },
  });
  return manner === "getter changes" ? `${path} becomes ${value.name}` : `${path} throws`;
}
