const floor = 500;
const ceiling = 20_000;

/**
 * How long to leave a server alone that has refused: full jitter between 0.5 s and a
 * bound that doubles from 2 s to 20 s, so that ten thousand clients whose server
 * restarts do not come back in the same second.
 */
export class Backoff {
  #failures = 0;
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The next wait in milliseconds. */
  next(): number {
    const bound = Math.min(ceiling, 2000 * 2 ** this.#failures++);
    return floor + this.#random() * (bound - floor);
  }

  /** Starts from the shortest waits again. */
  reset(): void {
    this.#failures = 0;
  }
}
