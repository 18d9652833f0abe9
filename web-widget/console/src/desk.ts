import { ParleyError, type Client, type Code, type ConnectionState, type Conversation, type Item, type Session, type State } from "@parley-chat/client";
import { computed, onUnmounted, shallowRef, triggerRef, type ComputedRef, type ShallowRef } from "vue";
import { ReadCounts } from "./account";

/** A conversation as the list shows it. */
export interface Listed {
  readonly state: State;
  readonly unread: number;
}

/** The conversation that is open on the desk. */
export interface Current {
  readonly conversation: Conversation;
  readonly state: State | undefined;
  readonly items: readonly Item[];
  readonly loaded: boolean;
  readonly hasOlder: boolean;
  readonly first: number;
  readonly error: Code | undefined;
}

export interface Desk {
  readonly connection: ShallowRef<ConnectionState>;
  readonly session: ShallowRef<Session | undefined>;
  readonly mine: ComputedRef<Listed[]>;
  readonly queue: ComputedRef<Listed[]>;
  readonly others: ComputedRef<Listed[]>;
  readonly current: ShallowRef<Current | undefined>;
  readonly problem: ShallowRef<Code | undefined>;
  open(id: string | undefined): void;
  claim(): Promise<void>;
  close(): Promise<void>;
}

/** Follows a client: everything a page of an agent shows, as refs. Ends with the component that calls it. */
export function useDesk(client: Client): Desk {
  const connection = shallowRef(client.state);
  const session = shallowRef(client.session);
  const states = shallowRef<State[]>([]);
  const problem = shallowRef<Code>();
  const stops: Array<() => void> = [];
  const { current, open } = useCurrent(client, stops);
  let counts = new ReadCounts(client.session?.user ?? "");
  const read = shallowRef(counts);

  const lists = computed(() => {
    const me = session.value?.user;
    const all = states.value.map((state) => ({ state, unread: Math.max(0, state.count - read.value.of(state.conversation)) }));
    return {
      mine: all.filter(({ state }) => state.status === "open" && state.assignee?.id === me).sort(newestFirst),
      queue: all.filter(({ state }) => state.status === "queued").sort((a, b) => a.state.updatedAt - b.state.updatedAt),
      others: all.filter(({ state }) => state.status === "open" && state.assignee?.id !== me).sort(newestFirst),
    };
  });

  const list = (): void => {
    states.value = [...client.conversations.values()];
  };
  const seen = (): void => {
    const state = current.value?.state;
    if (state && document.visibilityState === "visible" && counts.read(state.conversation, state.count)) triggerRef(read);
  };
  const attempt = async (act: () => Promise<unknown>): Promise<void> => {
    problem.value = undefined;
    try {
      await act();
    } catch (error) {
      problem.value = error instanceof ParleyError ? error.code : "internal";
      await client.refresh().catch(() => {}); // what we saw was old; the next refresh comes anyway
    }
  };

  stops.push(
    client.on("state", (state) => (connection.value = state)),
    client.on("session", (value) => {
      session.value = value;
      counts = read.value = new ReadCounts(value.user);
    }),
    client.on("conversations", () => {
      list();
      seen();
    }),
    followPage(client, seen),
  );
  list();
  onUnmounted(() => stops.forEach((stop) => stop()));

  return {
    connection,
    session,
    problem,
    current,
    mine: computed(() => lists.value.mine),
    queue: computed(() => lists.value.queue),
    others: computed(() => lists.value.others),
    open(id) {
      problem.value = undefined;
      open(id);
      seen();
    },
    claim: () => attempt(async () => current.value && client.claim(current.value.conversation.id)),
    close: () => attempt(async () => current.value && client.close(current.value.conversation.id)),
  };
}

const newestFirst = (a: Listed, b: Listed): number => b.state.updatedAt - a.state.updatedAt;

/** The one conversation that is open, kept in step while it is. */
function useCurrent(client: Client, stops: Array<() => void>): { current: ShallowRef<Current | undefined>; open(id: string | undefined): void } {
  const current = shallowRef<Current>();
  let stop = (): void => {};
  const open = (id: string | undefined): void => {
    const before = current.value?.conversation.id;
    if (id === before) return;
    stop();
    if (before) client.release(before);
    if (!id) return void (current.value = undefined);
    const conversation = client.conversation(id);
    const show = (): void => {
      const { state, loaded, hasOlder, first, error } = conversation;
      current.value = { conversation, state, items: conversation.items(), loaded, hasOlder, first, error: error?.code };
    };
    stop = conversation.subscribe(show);
    show();
  };
  stops.push(() => stop());
  return { current, open };
}

/** Every sign that the network may be back or that somebody looks again. */
function followPage(client: Client, seen: () => void): () => void {
  const changed = (): void => {
    if (document.visibilityState !== "visible") return;
    client.networkChanged();
    seen();
  };
  addEventListener("online", changed);
  document.addEventListener("visibilitychange", changed);
  return () => {
    removeEventListener("online", changed);
    document.removeEventListener("visibilitychange", changed);
  };
}
