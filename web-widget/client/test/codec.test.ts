import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MqttError } from "../src/mqtt/bytes";
import { decode, encode, type Packet } from "../src/mqtt/codec";
import { Frames } from "../src/mqtt/frames";
import { property, type Properties } from "../src/mqtt/properties";
import { decodeClient, encodeServer, type ClientPacket } from "./fake/wire";

const max = 262_144;

function cut<T>(bytes: Uint8Array, sizes: number[], take: (first: number, body: Uint8Array) => T, maximum = max): T[] {
  const frames = new Frames(maximum);
  const out: T[] = [];
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    frames.push(bytes.subarray(at, at + size), (first, body) => out.push(take(first, body)));
    at += size;
  }
  return out;
}

const read = (bytes: Uint8Array): Packet[] => cut(bytes, [], decode);
const readClient = (bytes: Uint8Array): ClientPacket[] => cut(bytes, [], decodeClient);

const text = fc.string({ unit: "binary", maxLength: 40 }).map((s) => s.replaceAll("\0", ""));
const id = fc.integer({ min: 1, max: 65_535 });
const bytes = fc.uint8Array({ maxLength: 300 });
const properties: fc.Arbitrary<Properties> = fc.record({
  values: fc.uniqueArray(
    fc.oneof(
      fc.tuple(fc.constantFrom(0x01, 0x24, 0x2a), fc.integer({ min: 0, max: 255 })),
      fc.tuple(fc.constantFrom<number>(property.receiveMaximum, property.serverKeepAlive), id),
      fc.tuple(fc.constantFrom<number>(property.sessionExpiry, property.maximumPacketSize), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
      fc.tuple(fc.constant(0x0b), fc.integer({ min: 0, max: 268_435_455 })),
      fc.tuple(fc.constantFrom<number>(0x03, property.reason), text),
      fc.tuple(fc.constantFrom(0x09, 0x16), bytes),
    ),
    { selector: ([id]) => id },
  ).map((list) => new Map<number, number | string | Uint8Array>(list)),
  user: fc.array(fc.tuple(text, text), { maxLength: 4 }),
});

describe("what a client writes, a server reads", () => {
  it("connect", () => {
    const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    fc.assert(
      fc.property(text, text, id, u32, id, u32, (clientId, password, keepAlive, sessionExpiry, receiveMaximum, maximumPacketSize) => {
        const values = new Map([
          [property.sessionExpiry, sessionExpiry],
          [property.receiveMaximum, receiveMaximum],
          [property.maximumPacketSize, maximumPacketSize],
        ]);
        expect(readClient(encode.connect({ clientId, password, keepAlive, sessionExpiry, receiveMaximum, maximumPacketSize }))).toEqual([
          { type: "connect", clientId, password, keepAlive, cleanStart: false, properties: { values, user: [] } },
        ]);
      }),
    );
  });
  it("publish", () => {
    fc.assert(
      fc.property(text, bytes, id, (topic, payload, packetId) => {
        const read = readClient(encode.publish(topic, payload, packetId));
        expect(read).toEqual([{ type: "publish", topic, payload, packetId, qos: 1, properties: { values: new Map(), user: [] } }]);
      }),
    );
  });
  it("the small ones", () => {
    fc.assert(
      fc.property(id, fc.array(text, { minLength: 1, maxLength: 5 }), (packetId, filters) => {
        expect(readClient(encode.subscribe(packetId, filters))).toEqual([{ type: "subscribe", packetId, filters }]);
        expect(readClient(encode.unsubscribe(packetId, filters))).toEqual([{ type: "unsubscribe", packetId, filters }]);
        expect(readClient(encode.puback(packetId))).toEqual([{ type: "puback", packetId }]);
      }),
    );
    expect(readClient(encode.pingreq())).toEqual([{ type: "pingreq" }]);
    expect(readClient(encode.disconnect(4))).toEqual([{ type: "disconnect", code: 4 }]);
  });
});

describe("what a server writes, a client reads", () => {
  it("every kind, however it is cut", () => {
    const pieces = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 40 });
    fc.assert(
      fc.property(text, bytes, id, fc.boolean(), properties, fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 6 }), pieces, (topic, payload, packetId, flag, props, codes, sizes) => {
        const stream = Buffer.concat([
          encodeServer.connack(0, flag, props),
          encodeServer.publish(topic, payload, packetId, flag, props),
          encodeServer.publish(topic, payload, 0, flag, props),
          encodeServer.puback(packetId, 0x99, props),
          encodeServer.suback(packetId, codes),
          encodeServer.unsuback(packetId, codes),
          encodeServer.pingresp(),
          encodeServer.disconnect(0x8e),
        ]);
        const publish = { type: "publish", topic, payload, retain: flag, properties: props };
        expect(cut(new Uint8Array(stream), sizes, decode)).toEqual([
          { type: "connack", sessionPresent: flag, code: 0, properties: props },
          { ...publish, qos: 1, packetId },
          { ...publish, qos: 0, packetId: 0 },
          { type: "puback", packetId, code: 0x99, properties: props },
          { type: "suback", packetId, codes },
          { type: "unsuback", packetId, codes },
          { type: "pingresp" },
          { type: "disconnect", code: 0x8e },
        ]);
      }),
    );
  });

  it("a PUBACK and a DISCONNECT in their shortest form", () => {
    expect(read(Uint8Array.of(0x40, 2, 0, 7))).toEqual([{ type: "puback", packetId: 7, code: 0, properties: {} }]);
    expect(read(Uint8Array.of(0xe0, 0))).toEqual([{ type: "disconnect", code: 0 }]);
  });

  it("a byte order mark stays in the text", () => {
    const [packet] = read(encodeServer.publish("\ufefft", new Uint8Array(), 1, false));
    expect(packet).toMatchObject({ topic: "\ufefft" });
  });
});

describe("malformed input ends in MqttError", () => {
  const cases: Array<[string, number[]]> = [
    ["length of five bytes", [0x30, 0x80, 0x80, 0x80, 0x80]],
    ["length above the maximum", [0x30, 0xff, 0xff, 0xff, 0x7f]],
    ["a packet only clients send", [0x10, 0]],
    ["packet type 0", [0, 0]],
    ["AUTH", [0xf0, 0]],
    ["QoS 2", [0x34, 3, 0, 0, 0]],
    ["QoS 3", [0x36, 3, 0, 0, 0]],
    ["packet identifier 0", [0x40, 2, 0, 0]],
    ["reserved flags", [0x41, 2, 0, 7]],
    ["reserved connack flags", [0x20, 3, 2, 0, 0]],
    ["topic longer than the packet", [0x30, 3, 0, 9, 0x61]],
    ["NUL in the topic", [0x30, 4, 0, 1, 0, 0]],
    ["topic not UTF-8", [0x30, 4, 0, 1, 0xff, 0]],
    ["properties longer than the packet", [0x30, 4, 0, 1, 0x61, 9]],
    ["unknown property", [0x30, 6, 0, 1, 0x61, 2, 0x7e, 0]],
    ["property twice", [0x20, 9, 0, 0, 6, 0x21, 0, 1, 0x21, 0, 1]],
    ["bytes after the end", [0xd0, 1, 0]],
    ["empty connack", [0x20, 0]],
  ];
  it.each(cases)("%s", (_, bytes) => {
    expect(() => read(Uint8Array.from(bytes))).toThrow(MqttError);
  });
});

describe("strangers' bytes", () => {
  const survives = (input: Uint8Array, sizes: number[]): void => {
    try {
      cut(input, sizes, decode, 4096);
    } catch (error) {
      expect(error).toBeInstanceOf(MqttError);
    }
  };
  it("random ones decode or end in MqttError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 20 }), survives),
      { numRuns: 20_000 },
    );
  }, 60_000);

  it("damaged packets do too", () => {
    const whole = new Uint8Array(
      Buffer.concat([
        encodeServer.connack(0, true, { values: new Map([[property.receiveMaximum, 64]]) }),
        encodeServer.publish("p1/s/c/c/messages", new Uint8Array(20), 7, true, { user: [["a", "b"]] }),
        encodeServer.puback(7, 0, { user: [["seq", "12"]] }),
        encodeServer.suback(3, [1, 0x87]),
        encodeServer.disconnect(0x8e),
      ]),
    );
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(damage, fc.nat(whole.length), (changes, end) => {
        const bytes = whole.slice(0, end);
        for (const [at, byte] of changes) if (at < end) bytes[at] = byte;
        survives(bytes, [3, 5, 7]);
      }),
      { numRuns: 20_000 },
    );
  }, 60_000);

  it("an announced length takes no memory before its bytes come", () => {
    const frames = new Frames(max);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 100; i++) new Frames(max).push(Uint8Array.of(0x30, 0xff, 0xff, 0x0f), () => {});
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(max);
    expect(() => frames.push(Uint8Array.of(0x30, 0x81, 0x80, 0x10), () => {})).toThrow(MqttError);
  });

  it("a large packet in single bytes is put together once", () => {
    const packet = encodeServer.publish("t", new Uint8Array(60_000).fill(7), 1, false);
    const [got] = cut(packet, Array.from(packet, () => 1), decode);
    expect(got).toMatchObject({ payload: new Uint8Array(60_000).fill(7) });
  });
});
