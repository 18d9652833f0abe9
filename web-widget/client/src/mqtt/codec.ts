// MQTT 5 as a client speaks it: what it writes, what it reads. The topics of
// Parley need QoS 0 and 1 only.

import { MqttError, Reader, Writer } from "./bytes";
import * as packetType from "./packet";
import { readProperties, type Properties } from "./properties";
import * as property from "./property";

export { packetType };

export interface Connect {
  readonly clientId: string;
  readonly password: string;
  readonly keepAlive: number;
  /** How long the server remembers the device after it has gone, in seconds. */
  readonly sessionExpiry: number;
  /** How many deliveries we take before we acknowledge the first. */
  readonly receiveMaximum: number;
  readonly maximumPacketSize: number;
}

export interface Connack {
  readonly type: "connack";
  readonly sessionPresent: boolean;
  readonly code: number;
  readonly properties: Properties;
}

export interface Publish {
  readonly type: "publish";
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** 0 with QoS 0. */
  readonly packetId: number;
  readonly properties: Properties;
}

export interface Ack {
  readonly type: "puback";
  readonly packetId: number;
  readonly code: number;
  readonly properties: Properties;
}

export interface Suback {
  readonly type: "suback" | "unsuback";
  readonly packetId: number;
  readonly codes: readonly number[];
}

export interface Disconnect {
  readonly type: "disconnect";
  readonly code: number;
}

/** What a server may send. */
export type Packet = Connack | Publish | Ack | Suback | Disconnect | { readonly type: "pingresp" };

/** CONNECT flags: a password, no user name, no will, and the session goes on (clean start off). */
const withPassword = 0x40;
const noProperties = [0];

function packet(type: number, flags: number, write: (to: Writer) => unknown): Uint8Array {
  return new Writer()
    .number((type << 4) | flags, 1)
    .counted(write)
    .bytes();
}

export const encode = {
  connect: (c: Connect): Uint8Array =>
    packet(packetType.connect, 0, (to) => {
      to.text("MQTT").add([5, withPassword]).number(c.keepAlive, 2).counted((inner) => {
        inner.add([property.sessionExpiry]).number(c.sessionExpiry, 4);
        inner.add([property.receiveMaximum]).number(c.receiveMaximum, 2);
        inner.add([property.maximumPacketSize]).number(c.maximumPacketSize, 4);
      });
      to.text(c.clientId).text(c.password);
    }),

  /** QoS 1. */
  publish: (topic: string, payload: Uint8Array, packetId: number): Uint8Array =>
    packet(packetType.publish, 2, (to) => to.text(topic).number(packetId, 2).add(noProperties).add(payload)),

  puback: (packetId: number): Uint8Array => packet(packetType.puback, 0, (to) => to.number(packetId, 2)),

  subscribe: (packetId: number, filters: readonly string[]): Uint8Array =>
    packet(packetType.subscribe, 2, (to) => {
      to.number(packetId, 2).add(noProperties);
      for (const filter of filters) to.text(filter).add([1]);
    }),

  unsubscribe: (packetId: number, filters: readonly string[]): Uint8Array =>
    packet(packetType.unsubscribe, 2, (to) => {
      to.number(packetId, 2).add(noProperties);
      for (const filter of filters) to.text(filter);
    }),

  pingreq: (): Uint8Array => packet(packetType.pingreq, 0, () => {}),

  disconnect: (code: number): Uint8Array => packet(packetType.disconnect, 0, (to) => to.number(code, 1)),
};

/** Decodes one whole packet: its first byte and what follows the length. Throws MqttError. */
export function decode(first: number, body: Uint8Array): Packet {
  const from = new Reader(body);
  const read = decoders[first >> 4];
  if (!read) throw new MqttError(); // unknown packet
  const decoded = read(from, first & 15);
  if (from.left > 0) throw new MqttError(); // bytes left
  return decoded;
}

const decoders: Readonly<Record<number, (from: Reader, flags: number) => Packet>> = {
  [packetType.connack]: (from, flags) => {
    const acknowledge = from.byte();
    if (flags !== 0 || acknowledge > 1) throw new MqttError(); // reserved flags are set
    return { type: "connack", sessionPresent: acknowledge === 1, code: from.byte(), properties: properties(from) };
  },
  [packetType.publish]: decodePublish,
  [packetType.puback]: (from, flags) => {
    reserved(flags);
    const packetId = id(from);
    return { type: "puback", packetId, code: optionalByte(from), properties: optionalProperties(from) };
  },
  [packetType.suback]: subscribed("suback"),
  [packetType.unsuback]: subscribed("unsuback"),
  [packetType.pingresp]: (_, flags) => {
    reserved(flags);
    return { type: "pingresp" };
  },
  [packetType.disconnect]: (from, flags) => {
    reserved(flags);
    const code = optionalByte(from);
    optionalProperties(from);
    return { type: "disconnect", code };
  },
};

function decodePublish(from: Reader, flags: number): Publish {
  const qos = (flags >> 1) & 3;
  if (qos !== 0 && qos !== 1) throw new MqttError(); // QoS 2, not asked for
  const topic = from.text();
  const packetId = qos ? id(from) : 0;
  return { type: "publish", topic, qos, retain: (flags & 1) === 1, packetId, properties: properties(from), payload: from.rest() };
}

function subscribed(type: "suback" | "unsuback"): (from: Reader, flags: number) => Suback {
  return (from, flags) => {
    reserved(flags);
    const packetId = id(from);
    properties(from);
    return { type, packetId, codes: [...from.rest()] };
  };
}

const properties = (from: Reader): Properties => readProperties(from, (bytes) => new Reader(bytes));
const optionalProperties = (from: Reader): Properties => (from.left > 0 ? properties(from) : {});
const optionalByte = (from: Reader): number => (from.left > 0 ? from.byte() : 0);

function reserved(flags: number): void {
  if (flags !== 0) throw new MqttError(); // reserved flags are set
}

function id(from: Reader): number {
  const packetId = from.number(2);
  if (packetId === 0) throw new MqttError(); // packet identifier 0
  return packetId;
}
