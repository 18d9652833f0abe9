// JSON from outside, read field by field. Nothing here trusts its input, and
// nothing throws but Undecodable.

export type JsonObject = Readonly<Record<string, unknown>>;

/** The input does not have the shape that was asked for. */
export class Undecodable extends Error {}

/** The value of `text`, or undefined if it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value` as an object. */
export function object(value: unknown): JsonObject {
  if (!isObject(value)) throw new Undecodable("object");
  return value;
}

/** Readers of one field each. With a fallback the field may be absent or null; of another type it may never be. */
export const field = {
  text(from: JsonObject, name: string, fallback?: string): string {
    const value = from[name] ?? fallback;
    if (typeof value !== "string") throw new Undecodable(name);
    return value;
  },
  integer(from: JsonObject, name: string, fallback?: number): number {
    const value = from[name] ?? fallback;
    if (!Number.isSafeInteger(value) || typeof value !== "number") throw new Undecodable(name);
    return value;
  },
  object(from: JsonObject, name: string): JsonObject {
    return object(from[name]);
  },
  list<T>(from: JsonObject, name: string, decode: (value: unknown) => T): T[] {
    const value = from[name] ?? [];
    if (!Array.isArray(value)) throw new Undecodable(name);
    return value.map(decode);
  },
  oneOf<T extends string>(from: JsonObject, name: string, allowed: readonly T[]): T {
    const found = allowed.find((one) => one === from[name]);
    if (found === undefined) throw new Undecodable(name);
    return found;
  },
};
