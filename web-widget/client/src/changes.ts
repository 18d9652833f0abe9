import type { Entry } from "./entry";
import type { Outgoing } from "./outbox";

// Edits and deletions are entries of their own: what they make of the messages
// before them. All of it follows from the entries that are here, in whatever
// order they came: whoever holds a message holds what came after it.

/** An entry as it is now. */
export interface Shown {
  readonly kind: "entry";
  /** With its newest text, or redacted. */
  readonly entry: Entry;
  readonly edited: boolean;
  /** A change of ours that the server has not stored yet, or has refused. */
  readonly change?: Outgoing | undefined;
}

interface Change {
  readonly type: string;
  readonly text: string;
}

/** Whether it changes a message instead of being one. */
export const isChange = ({ type }: { readonly type: string }): boolean => type === "edit" || type === "delete";

/** The entries as their changes leave them. `own` are changes of ours on their way, the newest last. */
export function shownOf(entries: readonly Entry[], own: readonly Outgoing[]): Shown[] {
  const senders = new Map(entries.map(({ seq, sender }) => [seq, sender]));
  const changes = new Map<unknown, Change>();
  for (const { type, sender, body } of entries) {
    const { seq, text } = body;
    if (type === "delete") changes.set(seq, { type, text: "" });
    // Only its author gives a message other words, and a deletion is final.
    else if (type === "edit" && typeof text === "string" && sender === senders.get(Number(seq)) && changes.get(seq)?.type !== "delete") changes.set(seq, { type, text });
  }
  const pending = new Map(own.map((change) => [change.draft.target, change]));
  return entries.map((entry) => {
    const change = pending.get(entry.seq);
    const stored = changes.get(entry.seq);
    const newest = change && change.state !== "failed" && stored?.type !== "delete" ? change.draft : stored;
    if (entry.redacted || newest?.type === "delete") return { kind: "entry", entry: { ...entry, body: {}, redacted: true }, edited: false, change };
    return { kind: "entry", entry: newest ? { ...entry, body: { ...entry.body, text: newest.text } } : entry, edited: newest !== undefined, change };
  });
}
