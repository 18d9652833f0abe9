import { MqttError } from "./bytes";

const lengthBytes = 4;

/**
 * Cuts a stream of bytes into packets, however the bytes were split on their
 * way. It holds only bytes that have arrived, never what a length announces.
 */
export class Frames {
  readonly #maximum: number;
  #held = new Uint8Array(0);
  #size = 0;

  /** Packets above `maximum` bytes end in an MqttError as soon as their length is known. */
  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /** Takes bytes and hands on every packet that is whole. `take` owns the bytes it gets. */
  push(chunk: Uint8Array, take: (first: number, body: Uint8Array) => void): void {
    this.#keep(chunk);
    let at = 0;
    for (;;) {
      const header = this.#header(at);
      if (!header || this.#size - at < header.start + header.length) break;
      const begin = at + header.start;
      at = begin + header.length;
      take(header.first, this.#held.slice(begin, at));
    }
    this.#held.copyWithin(0, at, this.#size);
    this.#size -= at;
  }

  /** The fixed header at `at`, or undefined while it has not arrived. */
  #header(at: number): { first: number; start: number; length: number } | undefined {
    const first = this.#byte(at);
    let length = 0;
    for (let i = 0; i < lengthBytes; i++) {
      const byte = this.#byte(at + 1 + i);
      if (first === undefined || byte === undefined) return undefined;
      length += (byte & 127) * 128 ** i;
      if (length > this.#maximum) throw new MqttError(); // packet is too long
      if (byte < 128) return { first, start: i + 2, length };
    }
    throw new MqttError(); // malformed length
  }

  #byte(at: number): number | undefined {
    return at < this.#size ? this.#held[at] : undefined;
  }

  #keep(chunk: Uint8Array): void {
    const size = this.#size + chunk.length;
    if (size > this.#held.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#held.length));
      larger.set(this.#held.subarray(0, this.#size));
      this.#held = larger;
    }
    this.#held.set(chunk, this.#size);
    this.#size = size;
  }
}
