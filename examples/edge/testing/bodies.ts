/** Requests with known answers: scores in float64, and bodies that are wrong. */
import { Random } from "../../byte_lm/random.ts";

/** A request, and what has to come back. */
export interface Sample {
  name: string;
  type: string;
  body: string | Uint8Array<ArrayBuffer>;
  status: number;
  /** Of each document. */
  scores?: number[];
}

export interface Sizes {
  tokens: number;
  documents: number;
  documentTokens: number;
  dim: number;
}

/** Rows of numbers that every storage type holds as they are: eighths from -2 to 2. */
function rows(random: Random, count: number, dim: number): number[][] {
  const value = () => random.below(33) / 8 - 2;
  return Array.from({ length: count }, () => Array.from({ length: dim }, value));
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, n) => sum + x * b[n]!, 0);

function maxSim(query: number[][], document: number[][]): number {
  return query.reduce(
    (sum, token) => sum + document.reduce((max, row) => Math.max(max, dot(token, row)), -Infinity),
    0,
  );
}

/** Numbers as 32-bit words in front of rows, see `parseBinaryBody`. */
export function binaryBody(
  dtype: "f32" | "f16",
  query: number[][],
  documents: number[][][],
): Uint8Array<ArrayBuffer> {
  const numbers = [query, ...documents].flat(2), dim = query[0]?.length ?? 0;
  const data = dtype === "f32" ? Float32Array.from(numbers) : Float16Array.from(numbers);
  const head = [dtype === "f32" ? 0 : 1, dim, query.length, documents.length];
  const words = Uint32Array.from([...head, ...documents.map(({ length }) => length)]);
  const bytes = new Uint8Array(words.byteLength + data.byteLength);
  bytes.set(new Uint8Array(words.buffer));
  bytes.set(new Uint8Array(data.buffer), words.byteLength);
  return bytes;
}

/** A good request in one of the forms. */
export function goodSample(seed: number, form: "json" | "f32" | "f16", sizes: Sizes): Sample {
  const { tokens, documents: count, documentTokens, dim } = sizes;
  const random = new Random(seed), query = rows(random, tokens, dim);
  const documents = Array.from({ length: count }, () => {
    return rows(random, 1 + random.below(documentTokens), dim);
  });
  const scores = documents.map((document) => maxSim(query, document));
  const name = `${form}, ${count} documents of up to ${documentTokens} tokens, dim ${dim}`;
  return {
    name,
    type: form === "json" ? "application/json" : "application/octet-stream",
    body: form === "json"
      ? JSON.stringify({ query, documents })
      : binaryBody(form, query, documents),
    status: 200,
    scores,
  };
}

/** Requests that must be refused, each with its status. */
export function badSamples(): Sample[] {
  const json = (name: string, body: unknown): Sample => ({
    name,
    type: "application/json",
    body: typeof body === "string" ? body : JSON.stringify(body),
    status: 400,
  });
  const whole = binaryBody("f32", [[1, 2]], [[[3, 4]]]);
  return [
    json("no JSON", `{"query": [[1]`),
    json("other dims", { query: [[1, 2]], documents: [[[1, 2, 3]]] }),
    json("a word among numbers", { query: [["1"]], documents: [[[1]]] }),
    {
      ...json("a binary body cut short", ""),
      type: "application/octet-stream",
      body: whole.slice(0, 22),
    },
    { ...json("a type that is not served", "a,b"), type: "text/csv", status: 415 },
    { ...json("a body that is too long", " ".repeat(2 ** 20 + 1)), status: 413 },
  ];
}
