// What was found may change while it is shown: what the page knows of that.

import type { Client, Entry, State } from "@parley-chat/client";
import type { Found, Hit } from "@parley-chat/client/search";
import { shallowRef, type ShallowRef } from "vue";

/** What was found for some words. */
export interface Answer extends Found {
  readonly words: string;
}

export const none: Answer = { words: "", hits: [], nextCursor: "", partial: false, indexing: false };

/** An answer that is kept true while it is shown. */
export interface LiveAnswer {
  readonly answer: ShallowRef<Answer>;
  /** Takes an answer of the server, who was asked when the conversations were as in `before`; `more` goes on behind what is here. */
  take(found: Answer, before: ReadonlyMap<string, State>, more?: boolean): void;
  /** Nothing of this conversation may be seen any more. */
  forget(conversation: string): void;
  stop(): void;
}

/** Begins with nothing found. `stale` is called when the server may answer otherwise now. */
export function useAnswer(client: Pick<Client, "on" | "conversations">, stale: () => void): LiveAnswer {
  const answer = shallowRef(none);
  /** The states of conversations that the hits are as new as. */
  let known = new Map<string, State | undefined>();
  /** Messages by conversation and seq: an answer may be older than what we know. */
  const deleted = new Set<string>();

  const put = (hits: readonly Hit[]): void => {
    if (hits !== answer.value.hits) answer.value = { ...answer.value, hits };
  };
  /** Takes what has become of the conversations since we looked last. */
  const compare = (): void => {
    const { hits } = answer.value;
    const now = readable(hits, known, client.conversations);
    for (const { conversation } of hits) known.set(conversation, client.conversations.get(conversation));
    put(now.hits);
    if (now.stale) stale();
  };
  const entered = (conversation: string, entry: Entry): void => {
    if (entry.type !== "delete" && entry.type !== "edit") return;
    if (entry.type === "delete") deleted.add(`${conversation} ${entry.body["seq"]}`);
    put(amended(answer.value.hits, conversation, entry));
    stale();
  };
  const stops = [client.on("conversations", compare), client.on("entry", ({ conversation, entry }) => entered(conversation, entry))];
  return {
    answer,
    take(found, before, more = false) {
      known = new Map([...before, ...(more ? known : [])]);
      const hits = found.hits.filter(({ conversation, seq }) => !deleted.has(`${conversation} ${seq}`));
      answer.value = { ...found, hits: more ? [...answer.value.hits, ...hits] : hits };
      compare();
    },
    forget(conversation) {
      put(answer.value.hits.filter((hit) => hit.conversation !== conversation));
      stale();
    },
    stop: () => stops.forEach((stop) => stop()),
  };
}

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
