import { MqttError, type Reader } from "./bytes";
import * as property from "./property";

/** MQTT 5 properties by their identifier. User properties stand apart: their names may repeat. */
export interface Properties {
  readonly values?: ReadonlyMap<number, number | string | Uint8Array>;
  readonly user?: ReadonlyArray<readonly [name: string, value: string]>;
}

export { property };

/** The property whose name and value anybody may choose. */
export const userProperty = 0x26;

export type Kind = 1 | 2 | 4 | "varint" | "text" | "binary";

const kinds: ReadonlyArray<readonly [Kind, readonly number[]]> = [
  [1, [0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a]],
  [2, [0x13, 0x21, 0x22, 0x23]],
  [4, [0x02, 0x11, 0x18, 0x27]],
  ["varint", [0x0b]],
  ["text", [0x03, 0x08, 0x12, 0x15, 0x1a, 0x1c, 0x1f]],
  ["binary", [0x09, 0x16]],
];

/** How the property is written: a number of so many bytes, or the type. */
export function kindOf(id: number): Kind {
  const found = kinds.find(([, ids]) => ids.includes(id));
  if (!found) throw new MqttError(); // unknown property
  return found[0];
}

/** Reads the length and the properties. */
export function readProperties(from: Reader, inner: (bytes: Uint8Array) => Reader): Properties {
  const values = new Map<number, number | string | Uint8Array>();
  const user: Array<readonly [string, string]> = [];
  const reader = inner(from.take(from.varint()));
  while (reader.left > 0) {
    const id = reader.varint();
    if (id === userProperty) {
      user.push([reader.text(), reader.text()]);
      continue;
    }
    if (values.has(id)) throw new MqttError(); // property twice
    values.set(id, readValue(reader, kindOf(id)));
  }
  return { values, user };
}

function readValue(from: Reader, kind: Kind): number | string | Uint8Array {
  switch (kind) {
    case "varint":
      return from.varint();
    case "text":
      return from.text();
    case "binary":
      return from.binary();
  }
  return from.number(kind);
}

/** The number under `id`, or the fallback. */
export function numberOf(properties: Properties, id: number, fallback: number): number {
  const value = properties.values?.get(id);
  return typeof value === "number" ? value : fallback;
}

/** The first user property of that name. */
export function userOf(properties: Properties, name: string): string | undefined {
  return properties.user?.find(([n]) => n === name)?.[1];
}
