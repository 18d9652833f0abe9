// Searching, and reading around what was found. Not part of what the widget
// loads.

import type { Client } from "./client";
import { field, object } from "./json";
import { decodePerson, type Person } from "./state";

export { Passage } from "./passage";

/** A part of a snippet: plain text, whatever is in it. */
export interface Piece {
  readonly text: string;
  /** It is what was searched for. */
  readonly hit: boolean;
}

/** A message that was found, as it is now. */
export interface Hit {
  readonly conversation: string;
  readonly visitor: Person;
  readonly seq: number;
  readonly sender: string;
  readonly role: string;
  readonly at: number;
  readonly snippet: readonly Piece[];
}

/** A page of what was found, newest first. */
export interface Found {
  readonly hits: readonly Hit[];
  /** Where the next page starts; empty after the last one. */
  readonly nextCursor: string;
  /** The time was up before the page was full. */
  readonly partial: boolean;
  /** The index does not have everything yet. */
  readonly indexing: boolean;
}

const pageSize = 30;

/** Searches the messages that we may read. `cursor` goes on behind an earlier page of the same search. Throws a ParleyError. */
export function searchMessages(client: Pick<Client, "call">, text: string, cursor = ""): Promise<Found> {
  const query = `in=messages&limit=${pageSize}&q=${encodeURIComponent(text)}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
  return client.call("GET", `/v1/search?${query}`, decodeFound);
}

function decodeFound(value: unknown): Found {
  const from = object(value);
  return {
    hits: field.list(from, "hits", decodeHit),
    nextCursor: field.text(from, "nextCursor", ""),
    partial: from["partial"] === true,
    indexing: from["indexing"] === true,
  };
}

function decodeHit(value: unknown): Hit {
  const from = object(value);
  return {
    conversation: field.text(from, "conversation"),
    visitor: decodePerson(from["visitor"]),
    seq: field.integer(from, "seq"),
    sender: field.text(from, "sender"),
    role: field.text(from, "role"),
    at: field.integer(from, "at"),
    snippet: field.list(from, "snippet", decodePiece),
  };
}

function decodePiece(value: unknown): Piece {
  const from = object(value);
  return { text: field.text(from, "text"), hit: from["hit"] === true };
}
