import { ParleyError, type Client, type Code, type ConnectionState, type Conversation, type Session, type State } from "@parley-chat/client";
import { computed, onUnmounted, shallowRef, type ComputedRef, type ShallowRef } from "vue";
import { useCurrent, type Current } from "./current";
import type { Settings } from "./settings";

/** A conversation as the list shows it. */
export interface Listed {
  readonly state: State;
  readonly unread: number;
  readonly pinned: boolean;
  readonly muted: boolean;
  /** The agent wants to come back to it. */
  readonly marked: boolean;
}

export interface Desk {
  readonly connection: ShallowRef<ConnectionState>;
  readonly session: ShallowRef<Session | undefined>;
  readonly mine: ComputedRef<Listed[]>;
  readonly queue: ComputedRef<Listed[]>;
  readonly others: ComputedRef<Listed[]>;
  readonly current: ShallowRef<Current | undefined>;
  /** Why the last attempt on the open conversation has failed, until something has happened in it since. */
  readonly problem: ComputedRef<Code | undefined>;
  /** Opens a conversation at its newest messages, or at the one with this seq. */
  open(id: string | undefined, seq?: number): void;
  claim(): Promise<void>;
  close(): Promise<void>;
  /** The problem has been read. */
  dismiss(): void;
}

/** Why the last attempt to claim or close has failed, and what we knew of the conversation then. */
interface Failure {
  readonly conversation: Conversation;
  readonly code: Code;
  /** Undefined while the list is fetched anew. */
  readonly head?: number | undefined;
}

/** The list is drawn at most this often, in ms: states come by the thousand. A timer, since the title of a hidden page changes too. */
const drawEvery = 50;

/** Follows a client: everything a page of an agent shows, as refs. Ends with the component that calls it. */
export function useDesk(client: Client, settings: Settings): Desk {
  const connection = shallowRef(client.state);
  const session = shallowRef(client.session);
  const states = shallowRef<State[]>([]);
  const stops: Array<() => void> = [];
  const { current, open, look } = useCurrent(client, stops);

  const lists = computed(() => {
    const me = session.value?.user;
    const all = states.value.map((state): Listed => {
      const { conversation: id } = state;
      return { state, unread: client.unread(id), pinned: settings.has("pinned", id), muted: settings.has("muted", id), marked: settings.has("unread", id) };
    });
    return {
      mine: all.filter(({ state }) => state.status === "open" && state.assignee?.id === me).sort(newestFirst),
      queue: all.filter(({ state }) => state.status === "queued").sort((a, b) => pinnedFirst(a, b) || a.state.updatedAt - b.state.updatedAt),
      others: all.filter(({ state }) => state.status === "open" && state.assignee?.id !== me).sort(newestFirst),
    };
  });

  const list = (): void => {
    states.value = [...client.conversations.values()];
  };
  const { problem, attempt, dismiss } = useAttempts(client, current);

  stops.push(
    client.on("state", (state) => (connection.value = state)),
    client.on("session", (value) => (session.value = value)),
    client.on("conversations", soon(list, stops)),
    followPage(client, look),
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
    dismiss,
    open(id, seq) {
      if (id && id !== current.value?.conversation.id) settings.put("unread", id, false);
      open(id, seq);
    },
    claim: () => attempt((id) => client.claim(id)),
    close: () => attempt((id) => client.close(id)),
  };
}

const pinnedFirst = (a: Listed, b: Listed): number => Number(b.pinned) - Number(a.pinned);
const newestFirst = (a: Listed, b: Listed): number => pinnedFirst(a, b) || b.state.updatedAt - a.state.updatedAt;

/** Runs `run` a little after the first of many calls. */
function soon(run: () => void, stops: Array<() => void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  stops.push(() => clearTimeout(timer));
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      run();
    }, drawEvery);
  };
}

interface Attempts {
  readonly problem: ComputedRef<Code | undefined>;
  attempt(act: (id: string) => Promise<unknown>): Promise<void>;
  dismiss(): void;
}

/** What the agent tries with the open conversation. A problem ends with what it was about: every change of a conversation is an entry, and moves its head. */
function useAttempts(client: Client, current: ShallowRef<Current | undefined>): Attempts {
  const failure = shallowRef<Failure>();
  const problem = computed(() => {
    const { conversation, code, head } = failure.value ?? {};
    const about = current.value;
    return conversation && about?.conversation === conversation && (head ?? about.state?.head) === about.state?.head ? code : undefined;
  });
  const attempt = async (act: (id: string) => Promise<unknown>): Promise<void> => {
    const conversation = current.value?.conversation;
    if (!conversation) return;
    const before = conversation.state?.head;
    failure.value = undefined;
    try {
      await act(conversation.id);
    } catch (error) {
      const failed: Failure = { conversation, code: error instanceof ParleyError ? error.code : "internal" };
      failure.value = failed;
      await client.refresh().catch(() => {}); // what we saw was old; the next refresh comes anyway
      if (failure.value !== failed) return;
      const { head, status } = conversation.state ?? {};
      const waitsAgain = status === "queued" && head !== before;
      failure.value = waitsAgain ? undefined : { ...failed, head };
    }
  };
  return { problem, attempt, dismiss: () => void (failure.value = undefined) };
}

/** Every sign that the network may be back or that somebody looks again. */
function followPage(client: Client, seen: () => void): () => void {
  const changed = (): void => {
    if (document.visibilityState !== "visible") return;
    client.networkChanged();
    seen();
  };
  addEventListener("online", changed);
  addEventListener("focus", seen);
  document.addEventListener("visibilitychange", changed);
  return () => {
    removeEventListener("online", changed);
    removeEventListener("focus", seen);
    document.removeEventListener("visibilitychange", changed);
  };
}
