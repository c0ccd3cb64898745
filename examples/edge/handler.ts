/** The function that answers requests: nothing but `Request` and `Response`, so that it runs wherever they exist. */
import { checkEncoding, readBytes } from "../server/body.ts";
import { HttpError, toHttpError } from "../server/http_error.ts";
import { LIMITS, type Limits } from "./limits.ts";
import { rerank, rerankOptions, type Scorer } from "./rerank.ts";
import { parseBinaryBody, parseJsonBody } from "./rerank_request.ts";
import { Room } from "./room.ts";

/** Bytes in memory for one of the body: text and what is parsed of it, or what comes in pieces and is joined. */
const JSON_WEIGHT = 8, BINARY_WEIGHT = 2;

const USAGE = `POST /rerank?top=10&matches orders documents by late interaction.

application/json: { "query": [[...], ...], "documents": [[[...], ...], ...] }
application/octet-stream: 32-bit words, little-endian: type (0 f32, 1 f16, 2 bf16), dim, tokens of
the query, number of documents; the length of each; rows of the query, then of the documents.

GET /health says what computes.
`;

type Handler = (request: Request) => Promise<Response>;

/** Answers with an engine. */
export function createHandler(engine: Scorer, limits: Limits = LIMITS): Handler {
  const room = new Room(limits.roomBytes, 2 * limits.seconds);
  const routes: Record<string, { methods: string[]; answer: Handler }> = {
    "/": { methods: ["GET", "HEAD"], answer: () => Promise.resolve(new Response(USAGE)) },
    "/health": {
      methods: ["GET", "HEAD"],
      answer: () => Promise.resolve(health(engine, room)),
    },
    "/rerank": { methods: ["POST"], answer: (request) => post(request, engine, limits, room) },
  };
  return async (request) => {
    try {
      const { pathname } = new URL(request.url);
      const route = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
      if (!route) throw new HttpError(404, `There is no ${pathname}: try /rerank or /health`);
      const { methods, answer } = route;
      if (methods.includes(request.method)) return await answer(request);
      const headers = { Allow: methods.join(", ") };
      throw new HttpError(405, `${pathname} takes ${methods.join(" and ")}`, { headers });
    } catch (error) {
      await request.body?.cancel().catch(() => {}); // what nobody will read
      return refusal(error).response();
    }
  };
}

function health({ backend, reason, memory }: Scorer, room: Room): Response {
  return Response.json({
    status: "ok",
    backend,
    reason,
    engineBytes: memory.total,
    bodyBytes: room.used,
  });
}

async function post(
  request: Request,
  engine: Scorer,
  limits: Limits,
  room: Room,
): Promise<Response> {
  const binary = isBinary(request.headers);
  const options = rerankOptions(new URL(request.url).searchParams, limits);
  const limit = binary ? limits.binaryBytes : limits.jsonBytes;
  // a body that does not say how long it is may be as long as any
  const announced = Number(request.headers.get("content-length") ?? limit);
  const bytes = Math.min(limit, Number.isFinite(announced) ? announced : limit);
  const give = room.take(bytes * (binary ? BINARY_WEIGHT : JSON_WEIGHT));
  try {
    const times = new Times();
    const body = await readBytes(request, limit, limits.seconds);
    times.end("read");
    const parsed = binary ? parseBinaryBody(body, limits) : parseJsonBody(body, limits);
    times.end("parse");
    const results = rerank(engine, parsed, options);
    times.end("score");
    return Response.json({ results }, { headers: { "Server-Timing": times.toString() } });
  } finally {
    give();
  }
}

function isBinary(headers: Headers): boolean {
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  checkEncoding(headers);
  if (type === "application/octet-stream") return true;
  if (type === "application/json") return false;
  throw new HttpError(
    415,
    `Content-Type is ${
      type ?? "missing"
    }, but must be application/json or application/octet-stream`,
  );
}

/** An error of the library that is about its arguments is about the request. */
function refusal(error: unknown): HttpError {
  if (error instanceof RangeError && /\bmemoryBudget is \d/.test(error.message)) {
    return new HttpError(413, error.message);
  }
  if (error instanceof Error && /^Cannot run /.test(error.message)) {
    return new HttpError(400, error.message);
  }
  return toHttpError(error);
}

/** Milliseconds of each part, as the header Server-Timing has them. */
class Times {
  #last = performance.now();
  readonly #parts: string[] = [];

  end(part: string): void {
    const now = performance.now();
    this.#parts.push(`${part};dur=${(now - this.#last).toFixed(2)}`);
    this.#last = now;
  }

  toString(): string {
    return this.#parts.join(", ");
  }
}
