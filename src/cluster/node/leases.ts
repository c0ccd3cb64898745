// Leases: what a client has on a node goes when the client has not been heard of for so long.

interface Lease {
  readonly client: string;
  readonly ms: number;
  readonly end: () => void;
  heard: number;
}

/** How often the leases are looked at, in milliseconds. */
const SWEEP_MS = 500;

/** The leases of a node. */
export class Leases {
  readonly #leases = new Map<string, Lease>();
  readonly #timer: ReturnType<typeof setInterval>;
  /** While the node itself hears nobody, nobody's lease runs out. */
  #deaf = false;

  constructor() {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  #sweep(): void {
    if (this.#deaf) return;
    const now = performance.now();
    for (const [key, { heard, ms, end }] of this.#leases) {
      if (now - heard <= ms) continue;
      this.#leases.delete(key);
      end();
    }
  }

  /** Begins a lease; `end` is called when it runs out. */
  begin(key: string, client: string, ms: number, end: () => void): void {
    this.#leases.set(key, { client, ms, end, heard: performance.now() });
  }

  /** Ends a lease without calling anything. */
  drop(key: string): void {
    this.#leases.delete(key);
  }

  /** A client has been heard of. */
  heard(client: string): void {
    const now = performance.now();
    for (const lease of this.#leases.values()) if (lease.client === client) lease.heard = now;
  }

  /** The link to the server broke, or is there again: all leases begin anew. */
  set deaf(deaf: boolean) {
    this.#deaf = deaf;
    const now = performance.now();
    for (const lease of this.#leases.values()) lease.heard = now;
  }

  /** Stops looking. */
  stop(): void {
    clearInterval(this.#timer);
    this.#leases.clear();
  }
}
