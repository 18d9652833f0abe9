// The fake server's truth: conversations as lists of entries, with the rules of
// the real one as far as clients can see them.

import type { Draft } from "../../src/draft";
import { isChange } from "../../src/changes";
import type { Entry } from "../../src/entry";
import type { Mark, State, Status } from "../../src/state";

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
  /** Where its history begins. */
  first: number;
  marks: Map<string, Mark>;
  agentRead: number;
}

export type Answer = { seq: number; duplicate: boolean } | { code: string };

export class Store {
  epoch = "epo_1";
  now = 1_763_700_000_000;
  editVisitor = 900_000;
  editStaff = 86_400_000;
  readonly conversations = new Map<string, Stored>();
  /** Of every user, what happened to the user alone. */
  readonly events = new Map<string, Entry[]>();
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
    if (type === "text") this.raise(c, entry.sender, { delivered: entry.seq, read: entry.seq, count });
    this.changed(c);
    return entry;
  }

  /** Stores a draft once. The first message of a visitor to a new id opens the conversation. */
  record(id: string, by: Identity, { id: messageId, type, text, target, attachments }: Draft): Answer {
    const c = this.conversations.get(id) ?? this.open(id, by);
    if (!c || (by.role === "visitor" && c.visitor.user !== by.user)) return { code: "not_found" };
    const first = c.entries.find((e) => e.sender === by.user && e.id === messageId);
    if (first) return first.redacted || (first.body["text"] || undefined) === (text || undefined) ? { seq: first.seq, duplicate: true } : { code: "conflict" };
    if (isChange({ type })) return this.change(c, by, messageId, type, target, text);
    if (by.role !== "visitor" && c.assignee?.user !== by.user) return { code: "forbidden" };
    if (c.status === "closed" && by.role !== "visitor") return { code: "closed" };
    if (c.status === "closed") {
      c.status = "queued";
      c.assignee = undefined;
      this.system(c, "reopened", { by: by.user });
    }
    return { seq: this.append(c, by, "text", messageId, { text, ...(attachments && { attachments }) }).seq, duplicate: false };
  }

  /** Stores an edit or a deletion. A deletion takes the text out of everything that holds it. */
  private change(c: Stored, by: Identity, id: string, type: string, target: number, text: string): Answer {
    const message = c.entries[target - 1];
    if (message?.type !== "text") return { code: "not_found" };
    const own = message.sender === by.user;
    const inTime = this.now - message.at <= (by.role === "visitor" ? this.editVisitor : this.editStaff);
    const moderates = type === "delete" && ["supervisor", "admin", "owner"].includes(by.role);
    if (!moderates && (!own || !inTime)) return { code: "forbidden" };
    if (type === "edit" && c.status === "closed") return { code: "closed" };
    if (message.redacted) return { code: "conflict" };
    if (type === "delete") {
      c.entries.forEach((entry, i, all) => {
        if (entry === message || (entry.type === "edit" && entry.body["seq"] === target)) all[i] = { ...entry, body: {}, redacted: true };
      });
    }
    return { seq: this.append(c, by, type, id, { seq: target, ...(text && { text }) }).seq, duplicate: false };
  }

  /** Marks only rise. One that does is told to the user's other devices, and to everybody in the state. */
  mark(c: Stored, by: Identity, draft: { epoch: string; delivered: number; read: number }): { code?: string } {
    if (draft.epoch !== this.epoch) return { code: "conflict" };
    if (draft.delivered > c.entries.length) return { code: "invalid" };
    const count = c.entries[draft.read - 1]?.count ?? 0;
    const raised = this.raise(c, by.user, { ...draft, count });
    if (!raised) return {};
    const { delivered, read } = raised;
    this.tell(by, "marked", `marked:${c.id}:${this.now}`, { conversation: c.id, delivered, read, count: raised.count });
    this.changed(c);
    return {};
  }

  /** An entry of a user's own events. */
  private tell(by: Identity, type: string, id: string, body: Record<string, unknown>): number {
    const events = this.events.get(by.user) ?? [];
    this.events.set(by.user, events);
    const seq = events.length + 1;
    events.push({ seq, epoch: this.epoch, id, sender: by.user, device: by.device, role: by.role, type, body, at: this.now, count: 0 });
    return seq;
  }

  /** Of every register the newest that somebody has set. */
  registers(user: string): Array<{ key: string; value: unknown; version: number }> {
    const all = (this.events.get(user) ?? []).filter(({ type }) => type === "set").map(({ seq, body }) => ({ key: String(body["key"]), value: body["value"], version: seq }));
    return all.filter((one, i) => all.findLastIndex(({ key }) => key === one.key) === i && one.value !== null);
  }

  set(by: Identity, { id, key, value, basedOn }: { id: string; key: string; value: unknown; basedOn: number }): Answer {
    const before = (this.events.get(by.user) ?? []).filter(({ type }) => type === "set");
    const first = before.find((entry) => entry.id === id);
    if (first) return JSON.stringify([first.body["key"], first.body["value"]]) === JSON.stringify([key, value]) ? { seq: first.seq, duplicate: true } : { code: "conflict" };
    const newest = before.findLast(({ body }) => body["key"] === key);
    const version = newest?.body["value"] === null && basedOn === 0 ? 0 : (newest?.seq ?? 0); // an old empty one is forgotten
    return version === basedOn ? { seq: this.tell(by, "set", id, { key, value, basedOn }), duplicate: false } : { code: "stale" };
  }

  private raise(c: Stored, user: string, to: Omit<Mark, "user">): Mark | undefined {
    const had = c.marks.get(user) ?? { user, delivered: 0, read: 0, count: 0 };
    const delivered = Math.max(had.delivered, to.delivered, to.read);
    if (c.assignee?.user === user) c.agentRead = Math.max(c.agentRead, to.read);
    if (delivered === had.delivered && to.read <= had.read) return undefined;
    const mark = { user, delivered, read: Math.max(had.read, to.read), count: Math.max(had.count, to.count) };
    c.marks.set(user, mark);
    return mark;
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

  state(c: Stored, by: Identity): State {
    const last = c.entries.at(-1);
    const newest = c.entries.findLast((e) => e.type === "text");
    const text = c.entries.findLast((e) => e === newest || (e.type === "edit" && e.body["seq"] === newest?.seq && !newest?.redacted))?.body["text"];
    return {
      conversation: c.id,
      epoch: this.epoch,
      head: c.entries.length,
      first: c.first,
      count: last?.count ?? 0,
      status: c.status,
      visitor: { id: c.visitor.user, name: c.visitor.name },
      assignee: c.assignee ? { id: c.assignee.user, name: c.assignee.name } : null,
      openedAt: c.entries[0]?.at ?? 0,
      updatedAt: last?.at ?? 0,
      lastText: String(text ?? ""),
      marks: [...c.marks.values()].filter(({ user }) => by.role !== "visitor" || user === by.user),
      agentRead: c.agentRead,
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
    const c: Stored = { id, visitor: by, assignee: undefined, status: "queued", entries: [], first: 1, marks: new Map(), agentRead: 0 };
    this.conversations.set(id, c);
    this.system(c, "opened", { visitor: by.user, name: by.name });
    return c;
  }

  private system(c: Stored, type: string, body: Record<string, unknown>): void {
    this.append(c, {}, type, `sys:${c.entries.length + 1}`, body);
  }
}
