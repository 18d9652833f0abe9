import { textOf, type Entry, type Outgoing } from "@parley-chat/client";
import type { Chat } from "./chat";

/** A message as the page may see it. */
export interface PageEntry {
  /** Position in the conversation, 0 while the server has not stored it. */
  readonly seq: number;
  readonly id: string;
  readonly text: string;
  readonly own: boolean;
  readonly at: number;
  readonly state: Outgoing["state"] | "stored";
}

export interface PageState {
  readonly connection: Chat["view"]["connection"];
  readonly open: boolean;
  readonly unread: number;
  readonly conversation: string;
  /** Messages that the server has not acknowledged. */
  readonly pending: number;
}

/** What `parley.on` tells. */
export interface PageEvents {
  open: undefined;
  close: undefined;
  unread: number;
  connection: PageState["connection"];
  /** A message has been stored and is shown, whoever wrote it. */
  message: PageEntry;
}

/** What a page can do with the widget: `parley.open()`, or `parley("open")`. */
export interface Methods {
  open(): void;
  close(): void;
  toggle(): void;
  /** Sends a text as the visitor; answers its id. Throws if it is empty or too long. */
  send(text: string): string;
  entries(): PageEntry[];
  state(): PageState;
  on<K extends keyof PageEvents>(event: K, listener: (value: PageEvents[K]) => void): void;
  off<K extends keyof PageEvents>(event: K, listener: (value: PageEvents[K]) => void): void;
}

/** Makes the page's face of a chat. */
export function pageMethods(chat: Chat): Methods {
  const listeners: { [K in keyof PageEvents]: Set<(value: PageEvents[K]) => void> } = {
    open: new Set(),
    close: new Set(),
    unread: new Set(),
    connection: new Set(),
    message: new Set(),
  };
  watch(chat, (event, value) => {
    for (const listener of [...listeners[event]]) listener(value);
  });
  return {
    open: () => chat.show(true),
    close: () => chat.show(false),
    toggle: () => chat.show(!chat.view.open),
    send: (text) => chat.send(text),
    entries: () => entriesOf(chat),
    state: () => stateOf(chat),
    on: (event, listener) => void listeners[event].add(listener),
    off: (event, listener) => void listeners[event].delete(listener),
  };
}

/** Tells what changes from one view to the next. */
function watch(chat: Chat, tell: <K extends keyof PageEvents>(event: K, value: PageEvents[K]) => void): void {
  let { open, unread, connection } = chat.view;
  chat.subscribe(() => {
    const now = chat.view;
    const before = { open, unread, connection };
    ({ open, unread, connection } = now);
    if (open !== before.open) tell(open ? "open" : "close", undefined);
    if (unread !== before.unread) tell("unread", unread);
    if (connection !== before.connection) tell("connection", connection);
  });
  chat.client.on("entry", ({ entry }) => {
    for (const one of storedOf(entry, chat.view.me)) tell("message", one);
  });
}

/** None, if it is no message. */
function storedOf(entry: Entry, me: string): PageEntry[] {
  const { seq, id, at, sender } = entry;
  const text = textOf(entry);
  return text === undefined ? [] : [{ seq, id, text, own: sender === me, at, state: "stored" }];
}

function entriesOf(chat: Chat): PageEntry[] {
  const { items, me } = chat.view;
  return items.flatMap((item): PageEntry[] => {
    if (item.kind === "entry") return storedOf(item.entry, me);
    const { draft, seq, order, state } = item.message;
    return [{ seq, id: draft.id, text: draft.text, own: true, at: order, state }];
  });
}

function stateOf(chat: Chat): PageState {
  const { connection, open, unread } = chat.view;
  const pending = entriesOf(chat).filter((entry) => entry.state === "queued" || entry.state === "sent").length;
  return { connection, open, unread, conversation: chat.conversation.id, pending };
}
