import type { Client, Code, Conversation, Item, State } from "@parley-chat/client";
import { shallowRef, type ShallowRef } from "vue";
import { Spot } from "./spot";

/** The conversation that is open on the desk. */
export interface Current {
  readonly conversation: Conversation;
  readonly state: State | undefined;
  readonly items: readonly Item[];
  readonly loaded: boolean;
  readonly hasOlder: boolean;
  /** Whether what is shown ends before the newest messages do. */
  readonly away: boolean;
  readonly first: number;
  readonly error: Code | undefined;
  /** The message that somebody wants to see; another one each time that somebody does. */
  readonly spot: Spot | undefined;
  older(): Promise<void>;
  newer(): Promise<void>;
}

export interface Desktop {
  readonly current: ShallowRef<Current | undefined>;
  /** Opens a conversation at its newest messages, or at the one with this seq. */
  open(id: string | undefined, seq?: number): void;
  /** Somebody looks at the page. */
  look(): void;
}

/** The one conversation that is open, kept in step while it is. */
export function useCurrent(client: Client, stops: Array<() => void>): Desktop {
  const current = shallowRef<Current>();
  let stop = (): void => {};
  const open = (id: string | undefined, seq = 0): void => {
    const before = current.value;
    if (id === before?.conversation.id && !seq && !before?.spot) return;
    stop();
    if (before && id !== before.conversation.id) client.release(before.conversation.id);
    if (!id) return void (current.value = undefined);
    const conversation = client.conversation(id);
    const show = (): void => {
      spot?.look();
      current.value = view(conversation, spot);
      look(current.value);
    };
    const spot = seq ? new Spot(client, conversation, seq, show) : undefined;
    const unsubscribe = conversation.subscribe(show);
    stop = () => {
      unsubscribe();
      spot?.stop();
    };
    show();
  };
  stops.push(() => stop());
  return { current, open, look: () => look(current.value) };
}

function view(conversation: Conversation, spot: Spot | undefined): Current {
  const { state, error } = conversation;
  const passage = spot?.passage;
  const gone = error?.code === "not_found"; // what we hold may not be seen any more, except what was not sent
  const seeking = spot?.seeking === true && !gone;
  const { hasOlder, first } = passage ?? conversation;
  const items = (passage ?? conversation).items();
  return {
    conversation,
    state,
    items: seeking ? [] : gone ? items.filter(({ kind }) => kind === "own") : items,
    loaded: conversation.loaded && !seeking,
    hasOlder: hasOlder && !seeking && !gone,
    away: passage !== undefined && !gone,
    first: seeking || gone ? 1 : first,
    error: error?.code ?? spot?.failure,
    spot,
    older: () => (passage && spot ? spot.older() : conversation.loadOlder()),
    newer: () => spot?.newer() ?? Promise.resolve(),
  };
}

/** Somebody reads what is new in a conversation that is open at its end, on a page that can be seen and has the focus. */
function look(current: Current | undefined): void {
  if (current?.loaded && !current.away && document.visibilityState === "visible" && document.hasFocus()) current.conversation.read();
}
