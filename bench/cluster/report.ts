/** What all sections of the cluster's bench print with. */

/** The middle of some numbers. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

/** Least, middle and most of some times, for a stored row. */
export function spread(times: readonly number[]): {
  readonly minMs: number;
  readonly medianMs: number;
  readonly maxMs: number;
} {
  return { minMs: Math.min(...times), medianMs: median(times), maxMs: Math.max(...times) };
}

/** Bytes of memory that a process has now; 0 where that cannot be read. */
export function residentBytes(pid: number): number {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/status`);
    return 1024 * Number(text.match(/VmRSS:\s*(\d+)/)![1]);
  } catch {
    return 0;
  }
}

/** Seconds of a core that a process has had so far; NaN where that cannot be read. */
export function cpuSeconds(pid: number): number {
  try {
    const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100; // user and system, in ticks
  } catch {
    return NaN;
  }
}
