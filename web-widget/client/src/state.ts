import { field, object } from "./json";

export type Status = "queued" | "open" | "closed";

/** A user as others see them. */
export interface Person {
  readonly id: string;
  readonly name: string;
}

/** How far a user has got in a conversation. Both positions only rise. */
export interface Mark {
  readonly user: string;
  readonly delivered: number;
  readonly read: number;
  /** Messages up to and including `read`. */
  readonly count: number;
}

/** Reads a mark; in an entry it stands without its user. */
export function decodeMark(value: unknown): Mark {
  const from = object(value);
  return {
    user: field.text(from, "user", ""),
    delivered: field.integer(from, "delivered"),
    read: field.integer(from, "read"),
    count: field.integer(from, "count"),
  };
}

/** What everybody in a conversation knows of it without reading it. */
export interface State {
  readonly conversation: string;
  readonly epoch: string;
  readonly head: number;
  readonly first: number;
  readonly count: number;
  readonly status: Status;
  readonly visitor: Person;
  readonly assignee: Person | null;
  readonly openedAt: number;
  readonly updatedAt: number;
  readonly lastText: string;
  /** Everybody's for staff, the own one for a visitor. */
  readonly marks: readonly Mark[];
  /** The newest seq that an agent has read while responsible. */
  readonly agentRead: number;
}

export function decodeState(value: unknown): State {
  const from = object(value);
  return {
    conversation: field.text(from, "conversation"),
    epoch: field.text(from, "epoch"),
    head: field.integer(from, "head"),
    first: field.integer(from, "first"),
    count: field.integer(from, "count"),
    status: field.oneOf(from, "status", ["queued", "open", "closed"]),
    visitor: decodePerson(from["visitor"]),
    assignee: from["assignee"] == null ? null : decodePerson(from["assignee"]),
    openedAt: field.integer(from, "openedAt"),
    updatedAt: field.integer(from, "updatedAt"),
    lastText: field.text(from, "lastText", ""),
    marks: field.list(from, "marks", decodeMark),
    agentRead: field.integer(from, "agentRead", 0),
  };
}

export function decodePerson(value: unknown): Person {
  const from = object(value);
  return { id: field.text(from, "id"), name: field.text(from, "name", "") };
}

/** A page of the list of conversations. */
export interface StatePage {
  readonly conversations: readonly State[];
  /** Where the next page starts; empty after the last one. */
  readonly nextCursor: string;
}

export function decodeStatePage(value: unknown): StatePage {
  const from = object(value);
  return {
    conversations: field.list(from, "conversations", decodeState),
    nextCursor: field.text(from, "nextCursor", ""),
  };
}
