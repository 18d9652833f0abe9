// The server's half of MQTT 5: what a server reads and writes. For tests only.

import { Reader, Writer } from "../../src/mqtt/bytes";
import { packetType } from "../../src/mqtt/codec";
import { kindOf, readProperties, userProperty, type Kind, type Properties } from "../../src/mqtt/properties";

export type ClientPacket =
  | { type: "connect"; clientId: string; password: string; keepAlive: number; cleanStart: boolean; properties: Properties }
  | { type: "publish"; topic: string; payload: Uint8Array; qos: number; packetId: number; properties: Properties }
  | { type: "puback"; packetId: number }
  | { type: "subscribe" | "unsubscribe"; packetId: number; filters: string[] }
  | { type: "pingreq" }
  | { type: "disconnect"; code: number };

const properties = (from: Reader): Properties => readProperties(from, (bytes) => new Reader(bytes));

export function decodeClient(first: number, body: Uint8Array): ClientPacket {
  const from = new Reader(body);
  switch (first >> 4) {
    case packetType.connect:
      return connect(from);
    case packetType.publish: {
      const qos = (first >> 1) & 3;
      const topic = from.text();
      const packetId = qos ? from.number(2) : 0;
      return { type: "publish", topic, qos, packetId, properties: properties(from), payload: from.rest() };
    }
    case packetType.puback:
      return { type: "puback", packetId: from.number(2) };
    case packetType.subscribe:
      return filters(from, "subscribe");
    case packetType.unsubscribe:
      return filters(from, "unsubscribe");
    case packetType.pingreq:
      return { type: "pingreq" };
    case packetType.disconnect:
      return { type: "disconnect", code: from.left > 0 ? from.byte() : 0 };
  }
  throw new Error(`a client does not send packet ${first}`);
}

function connect(from: Reader): ClientPacket {
  if (from.text() !== "MQTT" || from.byte() !== 5) throw new Error("not MQTT 5");
  const flags = from.byte();
  const keepAlive = from.number(2);
  const props = properties(from);
  return { type: "connect", clientId: from.text(), password: from.text(), keepAlive, cleanStart: (flags & 2) !== 0, properties: props };
}

function filters(from: Reader, type: "subscribe" | "unsubscribe"): ClientPacket {
  const packetId = from.number(2);
  properties(from);
  const list: string[] = [];
  while (from.left > 0) {
    list.push(from.text());
    if (type === "subscribe") from.byte();
  }
  return { type, packetId, filters: list };
}

/** Writes the length and the properties. */
function writeProperties(to: Writer, { values, user }: Properties = {}): Writer {
  return to.counted((inner) => {
    for (const [id, value] of values ?? []) writeValue(inner.varint(id), kindOf(id), value);
    for (const [name, value] of user ?? []) inner.varint(userProperty).text(name).text(value);
  });
}

function writeValue(to: Writer, kind: Kind, value: number | string | Uint8Array): void {
  if (typeof value === "string") to.text(value);
  else if (typeof value !== "number") to.binary(value);
  else if (kind === 1 || kind === 2 || kind === 4) to.number(value, kind);
  else to.varint(value);
}

const packet = (type: number, flags: number, write: (to: Writer) => unknown): Uint8Array =>
  new Writer()
    .number((type << 4) | flags, 1)
    .counted(write)
    .bytes();

export const encodeServer = {
  connack: (code: number, sessionPresent: boolean, props: Properties = {}): Uint8Array =>
    packet(packetType.connack, 0, (to) => writeProperties(to.add([sessionPresent ? 1 : 0, code]), props)),
  publish: (topic: string, payload: Uint8Array, packetId: number, retain: boolean, props: Properties = {}): Uint8Array =>
    packet(packetType.publish, (packetId ? 2 : 0) | (retain ? 1 : 0), (to) => {
      to.text(topic);
      if (packetId) to.number(packetId, 2);
      writeProperties(to, props).add(payload);
    }),
  puback: (packetId: number, code: number, props: Properties = {}): Uint8Array =>
    packet(packetType.puback, 0, (to) => writeProperties(to.number(packetId, 2).add([code]), props)),
  suback: (packetId: number, codes: readonly number[]): Uint8Array =>
    packet(packetType.suback, 0, (to) => writeProperties(to.number(packetId, 2)).add(codes)),
  unsuback: (packetId: number, codes: readonly number[]): Uint8Array =>
    packet(packetType.unsuback, 0, (to) => writeProperties(to.number(packetId, 2)).add(codes)),
  pingresp: (): Uint8Array => packet(packetType.pingresp, 0, () => {}),
  disconnect: (code: number): Uint8Array => packet(packetType.disconnect, 0, (to) => to.add([code])),
};
