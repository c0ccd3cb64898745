// Stopping a call from outside.

/** What is used of an `AbortSignal`: not every type library has the class. */
export interface AbortSignalLike {
  /** Throws the reason once the signal is aborted. */
  throwIfAborted(): void;
}
