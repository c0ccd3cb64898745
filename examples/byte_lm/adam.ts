import type { Parameter } from "./parameters.ts";

const MEAN_DECAY = 0.9;
const SQUARE_DECAY = 0.98; // short memory: a run has hundreds of steps, not hundreds of thousands
const EPSILON = 1e-8;

/** What Adam remembers between steps; arrays lie in the order of the parameters. */
export interface AdamState {
  steps: number;
  means: readonly Float32Array[];
  squares: readonly Float32Array[];
}

/** Adam (Kingma and Ba, 2015), with the gradient's length limited before each step. */
export class Adam {
  readonly #parameters: readonly Parameter[];
  readonly #state: AdamState;

  /** `state`: that of an earlier run to go on with, which is changed in place. */
  constructor(parameters: readonly Parameter[], state?: AdamState) {
    const zeros = (): Float32Array[] => parameters.map((p) => new Float32Array(p.value.length));
    this.#parameters = parameters;
    this.#state = state ?? { steps: 0, means: zeros(), squares: zeros() };
  }

  get state(): AdamState {
    return this.#state;
  }

  /** Moves every parameter against its gradient and clears the gradients for the next step. */
  step(rate: number, maxGradientLength = 1): void {
    const state = this.#state;
    state.steps++;
    const clip = Math.min(
      1,
      maxGradientLength / (gradientLength(this.#parameters) + EPSILON),
    );
    const meanCorrection = 1 - MEAN_DECAY ** state.steps;
    const squareCorrection = 1 - SQUARE_DECAY ** state.steps;
    for (let p = 0; p < this.#parameters.length; p++) {
      const { value, gradient } = this.#parameters[p]!;
      const mean = state.means[p]!, square = state.squares[p]!;
      for (let i = 0; i < value.length; i++) {
        const g = gradient[i]! * clip;
        mean[i] = MEAN_DECAY * mean[i]! + (1 - MEAN_DECAY) * g;
        square[i] = SQUARE_DECAY * square[i]! + (1 - SQUARE_DECAY) * g * g;
        value[i]! -= rate * (mean[i]! / meanCorrection) /
          (Math.sqrt(square[i]! / squareCorrection) + EPSILON);
      }
      gradient.fill(0);
    }
  }
}

function gradientLength(parameters: readonly Parameter[]): number {
  let squares = 0;
  for (const { gradient } of parameters) {
    for (let i = 0; i < gradient.length; i++) {
      squares += gradient[i]! * gradient[i]!;
    }
  }
  return Math.sqrt(squares);
}
