// The fake server's truth: conversations as lists of entries, with the rules of
// the real one as far as clients can see them.

import type { Entry } from "../../src/entry";
import type { State, Status } from "../../src/state";

export interface Identity {
  user: string;
  device: string;
  role: string;
  name: string;
}

export interface Stored {
  id: string;
  visitor: Identity;
  assignee: Identity | undefined;
  status: Status;
  entries: Entry[];
}

export type Answer = { seq: number; duplicate: boolean } | { code: string };

export class Store {
  epoch = "epo_1";
  now = 1_763_700_000_000;
  readonly conversations = new Map<string, Stored>();
  changed: (conversation: Stored) => void = () => {};

  append(c: Stored, by: Partial<Identity>, type: string, id: string, body: Record<string, unknown>): Entry {
    const count = (c.entries.at(-1)?.count ?? 0) + (type === "text" ? 1 : 0);
    const entry: Entry = {
      seq: c.entries.length + 1,
      epoch: this.epoch,
      id,
      sender: by.user ?? "system",
      device: by.device ?? "",
      role: by.role ?? "system",
      type,
      body,
      at: (this.now += 1000),
      count,
    };
    c.entries.push(entry);
    this.changed(c);
    return entry;
  }

  /** Stores a text once. The first message of a visitor to a new id opens the conversation. */
  record(id: string, by: Identity, messageId: string, text: string): Answer {
    const c = this.conversations.get(id) ?? this.open(id, by);
    if (!c || (by.role === "visitor" && c.visitor.user !== by.user)) return { code: "not_found" };
    const first = c.entries.find((e) => e.sender === by.user && e.id === messageId);
    if (first) return first.body["text"] === text ? { seq: first.seq, duplicate: true } : { code: "conflict" };
    if (by.role !== "visitor" && c.assignee?.user !== by.user) return { code: "forbidden" };
    if (c.status === "closed" && by.role !== "visitor") return { code: "closed" };
    if (c.status === "closed") {
      c.status = "queued";
      c.assignee = undefined;
      this.system(c, "reopened", { by: by.user });
    }
    return { seq: this.append(c, by, "text", messageId, { text }).seq, duplicate: false };
  }

  claim(c: Stored, by: Identity): void {
    c.assignee = by;
    c.status = "open";
    this.system(c, "assigned", { agent: by.user, name: by.name });
  }

  close(c: Stored, by: Identity): void {
    c.status = "closed";
    this.system(c, "closed", { by: by.user });
  }

  state(c: Stored): State {
    const last = c.entries.at(-1);
    const text = c.entries.findLast((e) => e.type === "text")?.body["text"];
    return {
      conversation: c.id,
      epoch: this.epoch,
      head: c.entries.length,
      first: 1,
      count: last?.count ?? 0,
      status: c.status,
      visitor: { id: c.visitor.user, name: c.visitor.name },
      assignee: c.assignee ? { id: c.assignee.user, name: c.assignee.name } : null,
      openedAt: c.entries[0]?.at ?? 0,
      updatedAt: last?.at ?? 0,
      lastText: String(text ?? ""),
    };
  }

  mine(by: Identity): Stored[] {
    return [...this.conversations.values()].filter((c) => this.takesPart(c, by));
  }

  takesPart(c: Stored, by: Identity): boolean {
    return by.role === "visitor" ? c.visitor.user === by.user : c.assignee?.user === by.user;
  }

  sees(c: Stored, by: Identity): boolean {
    return this.takesPart(c, by) || (by.role !== "visitor" && c.status === "queued");
  }

  private open(id: string, by: Identity): Stored | undefined {
    if (by.role !== "visitor") return undefined;
    const c: Stored = { id, visitor: by, assignee: undefined, status: "queued", entries: [] };
    this.conversations.set(id, c);
    this.system(c, "opened", { visitor: by.user, name: by.name });
    return c;
  }

  private system(c: Stored, type: string, body: Record<string, unknown>): void {
    this.append(c, {}, type, `sys:${c.entries.length + 1}`, body);
  }
}
