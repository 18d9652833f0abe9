import { decodeCode, type Code } from "./errors";
import { field, isObject, object, Undecodable, type JsonObject } from "./json";

export type Role = "visitor" | "bot" | "agent" | "supervisor" | "admin" | "owner" | "system";

/** One position of a stream. Types that a face does not know are skipped in drawing, but their seq counts. */
export interface Entry {
  readonly seq: number;
  readonly epoch: string;
  readonly id: string;
  readonly sender: string;
  readonly device: string;
  readonly role: string;
  readonly type: string;
  readonly body: JsonObject;
  readonly at: number;
  readonly count: number;
  /** Its body has been deleted, for good. */
  readonly redacted?: boolean;
}

/** Reads an entry of the wire, the same on MQTT and HTTP; throws Undecodable. */
export function decodeEntry(value: unknown): Entry {
  const from = object(value);
  const entry: Entry = {
    seq: field.integer(from, "seq"),
    epoch: field.text(from, "epoch"),
    id: field.text(from, "id"),
    sender: field.text(from, "sender"),
    device: field.text(from, "device", ""),
    role: field.text(from, "role"),
    type: field.text(from, "type"),
    body: field.object(from, "body"),
    at: field.integer(from, "at"),
    count: field.integer(from, "count"),
    ...(from["redacted"] === true && { redacted: true }),
  };
  if (entry.seq < 1) throw new Undecodable("seq");
  return entry;
}

/** The words of a text message, undefined for every other entry. */
export function textOf(entry: Entry): string | undefined {
  const text = entry.body["text"];
  return entry.type === "text" && typeof text === "string" ? text : undefined;
}

/** A file that goes with a message, as it came: decodeAttached reads it. */
export interface Listed {
  readonly id?: unknown;
  readonly name?: unknown;
}

/** A file that goes with a message. */
export interface Attached {
  readonly id: string;
  readonly name: string;
  /** Media type. */
  readonly type: string;
  /** In bytes. */
  readonly size: number;
  /** Of a picture as it is to be shown, in pixels; 0 of everything else. */
  readonly width: number;
  readonly height: number;
  /** Whether there is a small picture of it. */
  readonly thumbnail: boolean;
}

export function decodeAttached(value: unknown): Attached {
  const from = object(value);
  return {
    id: field.text(from, "id"),
    name: field.text(from, "name", ""),
    type: field.text(from, "type", ""),
    size: field.integer(from, "size", 0),
    width: field.integer(from, "width", 0),
    height: field.integer(from, "height", 0),
    thumbnail: from["thumbnail"] === true,
  };
}

/** The files of a message with this body. */
export const attachedOf = ({ attachments }: JsonObject): Listed[] => (Array.isArray(attachments) ? attachments.filter(isObject) : []);

/** One page of a stream, oldest first. */
export interface Page {
  readonly epoch: string;
  readonly head: number;
  /** Where history starts: entries before it are gone for good. */
  readonly first: number;
  readonly entries: readonly Entry[];
}

export function decodePage(value: unknown): Page {
  const from = object(value);
  return {
    epoch: field.text(from, "epoch"),
    head: field.integer(from, "head"),
    first: field.integer(from, "first"),
    entries: field.list(from, "entries", decodeEntry),
  };
}

/** What the server would not take, from the device's own `errors` stream. */
export interface Refusal {
  /** The draft's id, empty if it had none. */
  readonly id: string;
  readonly topic: string;
  readonly code: Code;
  readonly retry: boolean;
  readonly message: string;
}

export function decodeRefusal(entry: Entry): Refusal {
  return {
    id: field.text(entry.body, "id", ""),
    topic: field.text(entry.body, "topic", ""),
    code: decodeCode(entry.body["code"]),
    retry: entry.body["retry"] === true,
    message: field.text(entry.body, "message", ""),
  };
}
