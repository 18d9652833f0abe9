import { Client, type Listed, type ClientOptions, type ConnectionState, type Conversation, type Item, type Person } from "@parley-chat/client";
import type { Identity } from "./identity";

/** What is drawn. */
export interface View {
  /** "idle" until there is a reason to connect. */
  readonly connection: ConnectionState | "idle";
  readonly items: readonly Item[];
  readonly me: string;
  readonly assignee: Person | null;
  readonly waiting: boolean;
  readonly loaded: boolean;
  readonly hasOlder: boolean;
  readonly first: number;
  readonly unread: number;
  /** The seq up to which an agent has read. */
  readonly agentRead: number;
  readonly open: boolean;
}

export interface ChatOptions extends Pick<ClientOptions, "server" | "storage" | "webSocket" | "fetch" | "fallback"> {
  readonly site: string;
  readonly name?: string;
  readonly identity: Identity;
}

/** The visitor's side of one conversation, without a pixel. */
export class Chat {
  readonly client: Client;
  readonly identity: Identity;
  readonly server: string;
  readonly #listeners = new Set<() => void>();
  #conversation: Conversation;
  #started = false;
  #open = false;
  #view: View | undefined;

  constructor({ site, name, identity, ...rest }: ChatOptions) {
    this.identity = identity;
    this.server = rest.server;
    this.client = new Client({
      ...rest,
      namespace: identity.namespace,
      signIn: { as: "visitor", siteKey: site, remembered: () => identity.remembered(), ...(name && { name }) },
    });
    this.#conversation = this.#use(this.client.unsent()[0] ?? (identity.conversation || this.client.newConversation()));
    this.client.on("state", () => this.#changed());
    this.client.on("session", (session) => this.#signedIn(() => identity.keep(session)));
    this.client.on("conversations", () => this.#choose());
    if (identity.remembered() || this.client.unsent().length > 0) this.start();
  }

  /** Connects, if that has not happened. Who has never written costs the server nothing until the chat is opened. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.client.start();
    this.#changed();
  }

  get view(): View {
    this.#view ??= this.#makeView();
    return this.#view;
  }

  get conversation(): Conversation {
    return this.#conversation;
  }

  /** Calls `listener` after every change; the answer stops that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  show(open: boolean): void {
    if (open) this.start();
    this.#open = open;
    this.#changed();
  }

  /** Writes a message, perhaps with files. Throws a ParleyError if it is empty or too long. */
  send(text: string, files?: readonly Listed[]): string {
    this.start();
    const { draft } = this.#conversation.send(text, files);
    this.identity.conversation = this.#conversation.id;
    return draft.id;
  }

  /** Sends a failed message again. What was meant for a conversation that is not the visitor's any more begins a new one. */
  retry(id: string): void {
    const old = this.#conversation;
    const failed = old.items().flatMap((item) => (item.kind === "own" && item.message.state === "failed" ? [item.message] : []));
    // Files belong to their conversation for ever.
    const homeless = failed.filter(({ code, draft }) => code === "not_found" && !draft.attachments);
    if (!homeless.some(({ draft }) => draft.id === id)) return old.retry(id);
    this.#switch(this.client.newConversation());
    for (const { draft } of homeless) {
      old.discard(draft.id);
      this.send(draft.text);
    }
  }

  #use(id: string): Conversation {
    const conversation = this.client.conversation(id);
    conversation.subscribe(() => this.#changed());
    return conversation;
  }

  #switch(id: string): void {
    if (id === this.#conversation.id) return;
    this.client.release(this.#conversation.id);
    this.#conversation = this.#use(id);
    this.#changed();
  }

  /** Another visitor than before has another conversation, unless words are waiting in this one. */
  #signedIn(keep: () => void): void {
    const before = this.identity.conversation;
    keep();
    if (before && !this.identity.conversation && this.client.unsent().length === 0) this.#switch(this.client.newConversation());
  }

  /** While ours does not exist, the newest that does is the visitor's: begun in another tab, or on another day. */
  #choose(): void {
    const { conversations } = this.client;
    this.#changed(); // what is unread, perhaps
    if (this.#conversation.state || this.#conversation.items().length > 0) return;
    const newest = [...conversations.values()].sort((a, b) => b.updatedAt - a.updatedAt)[0];
    if (!newest) return;
    this.identity.conversation = newest.conversation;
    this.#switch(newest.conversation);
  }

  #changed(): void {
    this.#view = undefined;
    for (const listener of [...this.#listeners]) listener();
  }

  #makeView(): View {
    const conversation = this.#conversation;
    return {
      connection: this.#started ? this.client.state : "idle",
      items: conversation.items(),
      me: this.client.session?.user ?? "",
      assignee: conversation.state?.assignee ?? null,
      waiting: conversation.state?.status === "queued",
      loaded: conversation.loaded,
      hasOlder: conversation.hasOlder,
      first: conversation.first,
      unread: this.client.unread(conversation.id),
      agentRead: conversation.state?.agentRead ?? 0,
      open: this.#open,
    };
  }
}
