// What the runner knows of a consumer.

/** One line of the runner's output. */
export interface Consumer {
  readonly name: string;
  /** Returns what there is to say about a success; throws on failure. */
  readonly run: () => Promise<string>;
  /** Why it cannot run here; it is then counted neither as passed nor as failed. */
  readonly skip?: string | undefined;
}
