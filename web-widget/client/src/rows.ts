import { isChange, type Shown } from "./changes";
import type { Item } from "./conversation";
import { attachedOf, textOf, type Listed, type Entry } from "./entry";
import type { Outgoing } from "./outbox";
import type { Person } from "./state";

/** One thing to draw in a conversation. */
export type Row = Day | Notice | Bubble;

export interface Day {
  readonly kind: "day";
  readonly key: string;
  readonly at: number;
}

/** Something that happened: opened, assigned, closed, reopened. */
export interface Notice {
  readonly kind: "notice";
  readonly key: string;
  readonly entry: Entry;
  /** Of the agent it is about, empty if none or unknown. */
  readonly name: string;
}

/** A message. */
export interface Bubble {
  readonly kind: "bubble";
  readonly key: string;
  readonly text: string;
  /** Its files. */
  readonly attachments: readonly Listed[];
  /** Position in the conversation, 0 while it has none. */
  readonly seq: number;
  readonly at: number;
  readonly own: boolean;
  readonly role: string;
  /** Of the writer, empty if unknown. */
  readonly name: string;
  /** Whether it begins and ends a run of messages by the same person. */
  readonly starts: boolean;
  readonly ends: boolean;
  /** Its author has changed the text. */
  readonly edited: boolean;
  /** It has been deleted, and has no text. */
  readonly deleted: boolean;
  /** What is still to happen to it; absent once it is stored and back. */
  readonly pending?: Outgoing;
  /** A change of ours that is on its way, or refused. */
  readonly change?: Outgoing | undefined;
}

const runGap = 5 * 60_000;
const notices = ["opened", "assigned", "closed", "reopened"];

/**
 * Turns a conversation's items into rows: a line per day, and messages of one
 * writer in runs. Entries of types that this version does not know are left out.
 * `people` are those whose names the items may not tell.
 */
export function rowsOf(items: readonly Item[], me: string, role: string, people: ReadonlyArray<Person | null> = []): Row[] {
  const names = new Map(people.flatMap((person) => (person ? [[person.id, person.name]] : [])));
  const rows: Row[] = [];
  let day = "";
  for (const item of items) {
    const row = item.kind === "own" ? ownRow(item.message, role) : entryRow(item, me, names);
    if (!row) continue;
    const at = item.kind === "own" ? item.message.order : item.entry.at;
    const today = new Date(at).toDateString();
    // Unsent messages carry this device's clock, which may be wrong: they go with the day that is there.
    if (today !== day && (item.kind === "entry" || day === "")) rows.push({ kind: "day", key: today, at });
    if (item.kind === "entry" || day === "") day = today;
    rows.push(row);
  }
  return rows.map((row, i) => (row.kind === "bubble" ? { ...row, starts: !sameRun(rows[i - 1], row), ends: !sameRun(row, rows[i + 1]) } : row));
}

const bubble = { kind: "bubble", starts: true, ends: true, edited: false, deleted: false } as const;

function ownRow(pending: Outgoing, role: string): Bubble {
  const { draft, order, seq } = pending;
  return { ...bubble, key: draft.id, text: draft.text, attachments: draft.attachments ?? [], seq, at: order, own: true, role, name: "", pending };
}

function entryRow({ entry, edited, change }: Shown, me: string, names: Map<string, string>): Row | undefined {
  const { body, sender, id, seq, at, role } = entry;
  const agent = String(body["agent"] ?? "");
  if (entry.type === "assigned") names.set(agent, String(body["name"] ?? ""));
  if (entry.type === "opened") names.set(String(body["visitor"]), String(body["name"] ?? ""));
  if (notices.includes(entry.type)) return { kind: "notice", key: `seq ${seq}`, entry, name: names.get(agent) ?? "" };
  const deleted = entry.redacted === true;
  const text = deleted ? "" : textOf(entry);
  if (text === undefined || isChange(entry)) return undefined;
  const own = sender === me;
  // The key stays the same when a pending message becomes an entry.
  return { ...bubble, key: own ? id : `${sender} ${id}`, text, attachments: attachedOf(body), seq, at, own, role, name: names.get(sender) ?? "", edited, deleted, change };
}

function sameRun(a: Row | undefined, b: Row | undefined): boolean {
  return a?.kind === "bubble" && b?.kind === "bubble" && a.own === b.own && a.role === b.role && (a.own || a.name === b.name) && Math.abs(b.at - a.at) < runGap;
}

/** The key of the newest own message up to seq, where it says that somebody has got so far. */
export const newestOwn = (rows: readonly Row[], seq: number): string | undefined =>
  rows.findLast((row) => row.kind === "bubble" && row.own && row.seq > 0 && row.seq <= seq)?.key;
