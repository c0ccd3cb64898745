/** Documents in the order of their scores by late interaction. */
import type { MaxSimOptions } from "../../mod.ts";
import { HttpError } from "../server/http_error.ts";
import type { Limits } from "./limits.ts";
import type { RerankRequest, Rows } from "./rerank_request.ts";

/** What is needed of an engine: that of another copy of the library fits as well. */
export interface Scorer {
  maxSimSync(
    queries: Rows,
    documents: Rows,
    options: MaxSimOptions,
  ): { scores: { data: Float32Array }; keys: { data: Int32Array } };
  readonly backend: string;
  readonly reason: string;
  readonly memory: { readonly total: number };
}

/** A document. */
export interface Ranked {
  /** Which one of the request. */
  index: number;
  /** Null for a document without tokens, which comes last. */
  score: number | null;
  /** For each token of the query, the token of this document that it found. */
  matches?: number[];
}

/** What the address of a request may say. */
export interface RerankOptions {
  top: number;
  matches: boolean;
}

export function rerankOptions(params: URLSearchParams, { documents }: Limits): RerankOptions {
  const known = ["top", "matches"];
  const unknown = [...params.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new HttpError(400, `${unknown} is no parameter of this address`, { param: unknown });
  }
  const twice = known.find((name) => params.getAll(name).length > 1);
  if (twice !== undefined) throw new HttpError(400, `${twice} is given twice`, { param: twice });
  const text = params.get("top"), top = text === null ? documents : Number(text);
  if (!Number.isSafeInteger(top) || top < 1) {
    throw new HttpError(400, `top is ${text}, but must be a whole number, at least 1`, {
      param: "top",
    });
  }
  const flag = params.get("matches") ?? "false";
  if (!["", "true", "false"].includes(flag)) {
    throw new HttpError(400, `matches is ${flag}, but must be true or false, or stand alone`, {
      param: "matches",
    });
  }
  return { top, matches: flag !== "false" };
}

/** Scores at once, on the calling thread: the limits keep that to a few hundredths of a second. */
export function rerank(
  engine: Scorer,
  { query, documents, cuSeqlens }: RerankRequest,
  { top, matches }: RerankOptions,
): Ranked[] {
  const { scores, keys } = engine.maxSimSync(query, documents, { cuSeqlens });
  const tokens = query.shape[0];
  const order = Array.from(scores.data, (score, index) => ({ index, score }));
  const odd = order.find(({ index, score }) =>
    !Number.isFinite(score) && cuSeqlens[index] !== cuSeqlens[index + 1]
  );
  if (odd) {
    throw new HttpError(
      400,
      `The score of document ${odd.index} is ${odd.score}: not all numbers of it or of the query ` +
        `are finite and small enough for ${documents.dtype}`,
    );
  }
  order.sort((a, b) => b.score - a.score || a.index - b.index);
  return order.slice(0, top).map(({ index, score }) => {
    if (score === -Infinity) return { index, score: null };
    if (!matches) return { index, score };
    const rows = keys.data.subarray(index * tokens, (index + 1) * tokens);
    return { index, score, matches: Array.from(rows, (row) => row - cuSeqlens[index]!) };
  });
}
