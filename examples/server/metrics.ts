/** Counts of a server in Prometheus' text format. */

type Labels = Readonly<Record<string, string | number>>;

/** A line of what is measured when it is asked for. */
export interface Sample {
  name: string;
  help: string;
  type: "counter" | "gauge";
  values: readonly (readonly [labels: Labels, value: number])[];
}

/** How long things took, in buckets. */
export class Durations {
  static readonly bounds: readonly number[] = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30];
  readonly #counts = Durations.bounds.map(() => 0);
  #count = 0;
  #sum = 0;

  observe(seconds: number): void {
    Durations.bounds.forEach((bound, i) => this.#counts[i]! += Number(seconds <= bound));
    this.#count++;
    this.#sum += seconds;
  }

  format(name: string, help: string): string {
    return [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} histogram`,
      ...Durations.bounds.map((bound, i) =>
        line(`${name}_bucket`, { le: bound }, this.#counts[i]!)
      ),
      line(`${name}_bucket`, { le: "+Inf" }, this.#count),
      line(`${name}_sum`, {}, this.#sum),
      line(`${name}_count`, {}, this.#count),
      "",
    ].join("\n");
  }
}

export function formatSamples(samples: readonly Sample[]): string {
  return samples.map(({ name, help, type, values }) =>
    [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...values.map(([labels, value]) => line(name, labels, value)),
      "",
    ].join("\n")
  ).join("");
}

function line(name: string, labels: Labels, value: number): string {
  const inside = Object.entries(labels).map(([key, of]) => `${key}="${of}"`).join(",");
  return `${name}${inside ? `{${inside}}` : ""} ${value}`;
}
