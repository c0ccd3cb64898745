/** Embeddings of a query and of documents, out of the body of a request. */
import { parseJson } from "../server/body.ts";
import { HttpError } from "../server/http_error.ts";
import type { Limits } from "./limits.ts";

type Data = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** Rows, as the library takes them. */
export interface Rows {
  data: Data;
  shape: [rows: number, dim: number];
  dtype: "f32" | "f16" | "bf16";
}

export interface RerankRequest {
  query: Rows;
  documents: Rows;
  /** Where each document begins among the rows, and the end. */
  cuSeqlens: Int32Array;
}

const bad = (message: string, param?: string): HttpError =>
  new HttpError(400, message, param === undefined ? {} : { param });

/** Throws where a number is more than is served. */
function checkLimit(name: string, value: number, limit: number): void {
  if (value > limit) throw bad(`${name} is ${value}, but at most ${limit} is served`, name);
}

/** `{ "query": [[...], ...], "documents": [[[...], ...], ...] }`: a row of numbers for each token. */
export function parseJsonBody(bytes: Uint8Array, limits: Limits): RerankRequest {
  const body = parseJson(bytes);
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw bad('The body must be an object: { "query": [[...]], "documents": [[[...]]] }');
  }
  const unknown = Object.keys(body).find((name) => name !== "query" && name !== "documents");
  if (unknown !== undefined) throw bad(`${unknown} is not a field of this request`, unknown);
  const { query, documents } = body as Record<string, unknown>;
  const texts = listOf(documents, "documents");
  checkLimit("the number of documents", texts.length, limits.documents);
  const lists = texts.map((rows, n) => listOf(rows, `documents[${n}]`));
  lists.forEach(({ length }, n) =>
    checkLimit(`the length of documents[${n}]`, length, limits.documentTokens)
  );
  const ofQuery = listOf(query, "query"), cuSeqlens = starts(lists.map(({ length }) => length));
  checkLimit("the length of query", ofQuery.length, limits.queryTokens);
  const queryRows = pack(ofQuery, (n) => `query[${n}]`, limits);
  const name = (row: number) => {
    const d = cuSeqlens.findLastIndex((start) => start <= row);
    return `documents[${d}][${row - cuSeqlens[d]!}]`;
  };
  const documentRows = pack(lists.flat(), name, limits, queryRows.shape[1]);
  return { query: queryRows, documents: documentRows, cuSeqlens };
}

function listOf(value: unknown, name: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw bad(`${name} is ${value === undefined ? "missing" : "no array"}`, name);
}

/** Rows of numbers behind each other; all have as many as the first. Without rows there are `dim`. */
function pack(
  rows: unknown[],
  nameOf: (row: number) => string,
  { dim: most }: Limits,
  dim = 0,
): Rows {
  const lists = rows.map((row, n) => Array.isArray(row) ? row : listOf(row, nameOf(n)));
  const columns = lists[0]?.length ?? dim;
  checkLimit("the length of a row", columns, most);
  const data = new Float32Array(lists.length * columns);
  lists.forEach((row, n) => {
    if (row.length !== columns) {
      const name = nameOf(n);
      throw bad(`${name} has ${row.length} numbers, but ${nameOf(0)} has ${columns}`, name);
    }
    row.forEach((x, c) => {
      if (typeof x !== "number") {
        throw bad(`${nameOf(n)}[${c}] is ${JSON.stringify(x).slice(0, 40)}, but must be a number`);
      }
      data[n * columns + c] = x;
    });
  });
  return { data, shape: [lists.length, columns], dtype: "f32" };
}

/** Running sums, from 0. */
function starts(lengths: Iterable<number>): Int32Array {
  const all = [0];
  for (const length of lengths) all.push(all.at(-1)! + length);
  return Int32Array.from(all);
}

const DTYPES = ["f32", "f16", "bf16"] as const;
/** Words before the lengths of documents. */
const HEADER = 4;

/**
 * 32-bit words, little-endian: the type (0 for f32, 1 for f16, 2 for bf16), dim, tokens of the query, number of
 * documents; then the length of each document; then the rows of the query and those of the documents.
 */
export function parseBinaryBody(bytes: Uint8Array<ArrayBuffer>, limits: Limits): RerankRequest {
  const words = (count: number) => {
    if (bytes.length < 4 * count) {
      throw bad(`The body has ${bytes.length} bytes, but its head has ${4 * count}`);
    }
    return new Uint32Array(bytes.buffer, 0, count);
  };
  const [code = 0, dim = 0, tokens = 0, count = 0] = words(HEADER);
  const dtype = DTYPES[code];
  if (dtype === undefined) throw bad(`The type is ${code}, but must be 0, 1 or 2`);
  checkLimit("dim", dim, limits.dim);
  checkLimit("the number of tokens of the query", tokens, limits.queryTokens);
  checkLimit("the number of documents", count, limits.documents);
  const lengths = words(HEADER + count).subarray(HEADER);
  lengths.forEach((length, n) =>
    checkLimit(`the length of document ${n}`, length, limits.documentTokens)
  );
  const cuSeqlens = starts(lengths), rows = cuSeqlens[count]!, from = 4 * (HEADER + count);
  const size = dtype === "f32" ? 4 : 2, whole = from + size * dim * (tokens + rows);
  if (bytes.length !== whole) {
    throw bad(`The body has ${bytes.length} bytes, but by its head it has ${whole}`);
  }
  const view = (at: number, n: number): Data =>
    dtype === "f32"
      ? new Float32Array(bytes.buffer, at, n * dim)
      : new Uint16Array(bytes.buffer, at, n * dim);
  return {
    query: { data: view(from, tokens), shape: [tokens, dim], dtype },
    documents: { data: view(from + size * tokens * dim, rows), shape: [rows, dim], dtype },
    cuSeqlens,
  };
}
