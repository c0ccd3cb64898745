/**
 * Memory that requests share. Who finds no room is refused at once, as a hint to ask again is worth more than a place in
 * a queue that an isolate may not live to serve.
 */
import { HttpError } from "../server/http_error.ts";

export class Room {
  readonly #bytes: number;
  readonly #milliseconds: number;
  readonly #leases = new Map<object, { bytes: number; until: number }>();

  /**
   * `seconds` is how long a request holds its part at most. Isolates drop a request whose client left, without running
   * what stands in its `finally`: its part must not be lost.
   */
  constructor(bytes: number, seconds: number) {
    this.#bytes = bytes;
    this.#milliseconds = seconds * 1000;
  }

  /** Bytes that are in use. */
  get used(): number {
    let used = 0;
    for (const { bytes } of this.#leases.values()) used += bytes;
    return used;
  }

  /** Takes some; returns what gives them back. */
  take(bytes: number): () => void {
    const now = Date.now(), lease = {};
    for (const [key, { until }] of this.#leases) if (until < now) this.#leases.delete(key);
    if (this.used + bytes > this.#bytes) {
      const headers = { "Retry-After": "1" };
      throw new HttpError(503, "Too many bodies at a time: try again", { headers });
    }
    this.#leases.set(lease, { bytes, until: now + this.#milliseconds });
    return () => void this.#leases.delete(lease);
  }
}
