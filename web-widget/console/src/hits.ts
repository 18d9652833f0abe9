// What was found may change while it is shown: what the page knows of that.

import type { Entry, State } from "@parley-chat/client";
import type { Hit } from "@parley-chat/client/search";

type States = ReadonlyMap<string, State | undefined>;

/** The hits as a new entry of a conversation leaves them: without a message that was deleted, with the words of one that was edited. The same array if nothing changes. */
export function amended(hits: readonly Hit[], conversation: string, { type, body }: Entry): readonly Hit[] {
  const { seq, text } = body;
  const about = (hit: Hit): boolean => hit.conversation === conversation && hit.seq === seq;
  if (!hits.some(about)) return hits;
  if (type === "delete") return hits.filter((hit) => !about(hit));
  if (type !== "edit" || typeof text !== "string") return hits;
  return hits.map((hit) => (about(hit) ? { ...hit, snippet: [{ text, hit: false }] } : hit));
}

/** The hits that may still be seen, after the states of conversations went from `known` to `now`; and whether one of the rest may have changed. */
export function readable(hits: readonly Hit[], known: States, now: States): { readonly hits: readonly Hit[]; readonly stale: boolean } {
  const gone = new Set<string>();
  let stale = false;
  for (const id of new Set(hits.map(({ conversation }) => conversation))) {
    const [before, after] = [known.get(id), now.get(id)];
    if (before && !after) gone.add(id);
    else stale ||= after !== undefined && mayDiffer(before, after);
  }
  const left = hits.filter(({ conversation, seq }) => !gone.has(conversation) && seq >= (now.get(conversation)?.first ?? 0));
  return { hits: left.length === hits.length ? hits : left, stale: stale || gone.size > 0 };
}

/** Whether more has happened than that messages were added. */
const mayDiffer = (before: State | undefined, after: State): boolean =>
  before?.epoch !== after.epoch || after.head - before.head !== after.count - before.count;
