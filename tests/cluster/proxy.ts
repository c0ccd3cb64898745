/** A link that a test can break: forwards TCP, cuts every connection, or swallows what comes. */

/** Forwards connections to a port of this machine. */
export class Proxy implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #links = new Set<Deno.TcpConn>();
  #swallowing = 0;
  cuts = 0;

  private constructor(listener: Deno.TcpListener, to: number) {
    this.#listener = listener;
    void this.#serve(to);
  }

  static to(port: number): Promise<Proxy> {
    return Promise.resolve(new Proxy(Deno.listen({ hostname: "127.0.0.1", port: 0 }), port));
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #serve(to: number): Promise<void> {
    for await (const near of this.#listener) {
      try {
        const far = await Deno.connect({ hostname: "127.0.0.1", port: to });
        for (const one of [near, far]) this.#links.add(one);
        void this.#pump(near, far);
        void this.#pump(far, near);
      } catch {
        near.close();
      }
    }
  }

  async #pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const bytes = new Uint8Array(65536);
    try {
      for (let n = await from.read(bytes); n !== null; n = await from.read(bytes)) {
        if (performance.now() < this.#swallowing) continue;
        for (let at = 0; at < n;) at += await to.write(bytes.subarray(at, n));
      }
    } catch {
      // cut
    }
    for (const one of [from, to]) this.#close(one);
  }

  #close(link: Deno.TcpConn): void {
    if (!this.#links.delete(link)) return;
    link.close();
  }

  /** Ends every connection, with whatever is on it. */
  cut(): void {
    this.cuts++;
    for (const link of [...this.#links]) this.#close(link);
  }

  /** Drops what comes, as a network that forgets packets for good; then ends the connections. */
  swallow(ms: number): void {
    this.#swallowing = performance.now() + ms;
    setTimeout(() => this.cut(), ms);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    return Promise.resolve();
  }
}
