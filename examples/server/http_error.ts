/** A refusal: a status, and a sentence in JSON as OpenAI's servers write it. */
export class HttpError extends Error {
  readonly status: number;
  /** The field of the request that is wrong. */
  readonly param: string | undefined;
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    message: string,
    { param, headers = {} }: { param?: string; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.status = status;
    this.param = param;
    this.headers = headers;
  }

  /** The body, also for an event of a stream that has begun. */
  toJSON(): { error: Record<string, string | number | null> } {
    const type = this.status >= 500
      ? "server_error"
      : this.status === 429
      ? "rate_limit_error"
      : "invalid_request_error";
    const { message, param = null, status } = this;
    return { error: { message, type, param, code: status } };
  }

  response(): Response {
    return Response.json(this, { status: this.status, headers: this.headers });
  }
}

/** Any error as a refusal; what is not one is the server's own fault. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new HttpError(500, message);
}
