import { fromUtf8, utf8 } from "../platform";

/** The bytes are not MQTT 5, or not what we accept of it. The connection ends. */
export class MqttError extends Error {}

/** Reads MQTT's data types off a piece of memory; throws MqttError at its end. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** The next n bytes, not copied. */
  take(n: number): Uint8Array {
    if (n > this.left) throw new MqttError(); // cut short
    return this.#bytes.subarray(this.#at, (this.#at += n));
  }

  byte(): number {
    return this.number(1);
  }

  /** An unsigned number of n bytes, most significant first. */
  number(n: 1 | 2 | 4): number {
    return this.take(n).reduce((value, byte) => value * 256 + byte, 0);
  }

  /** A variable byte integer. */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale <= 128 ** 3; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new MqttError(); // malformed length
  }

  binary(): Uint8Array {
    return this.take(this.number(2));
  }

  text(): string {
    const bytes = this.binary();
    if (bytes.includes(0)) throw new MqttError(); // NUL in a string
    try {
      return fromUtf8(bytes);
    } catch {
      throw new MqttError(); // not UTF-8
    }
  }

  rest(): Uint8Array {
    return this.take(this.left);
  }
}

/** Puts MQTT's data types one after the other. */
export class Writer {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  add(bytes: Uint8Array | readonly number[]): this {
    this.#parts.push(Uint8Array.from(bytes));
    this.length += bytes.length;
    return this;
  }

  number(value: number, n: 1 | 2 | 4): this {
    return this.add(Array.from({ length: n }, (_, i) => Math.floor(value / 256 ** (n - 1 - i)) & 255));
  }

  varint(value: number): this {
    const bytes: number[] = [];
    do {
      const low = value % 128;
      value = Math.floor(value / 128);
      bytes.push(value > 0 ? low | 128 : low);
    } while (value > 0);
    return this.add(bytes);
  }

  binary(bytes: Uint8Array): this {
    if (bytes.length > 65_535) throw new MqttError(); // string is too long
    return this.number(bytes.length, 2).add(bytes);
  }

  text(text: string): this {
    return this.binary(utf8(text));
  }

  /** What `write` puts, behind its length. */
  counted(write: (inner: Writer) => void): this {
    const inner = new Writer();
    write(inner);
    return this.varint(inner.length).add(inner.bytes());
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
