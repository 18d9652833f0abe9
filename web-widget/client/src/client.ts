import { Backoff } from "./backoff";
import { isChange } from "./changes";
import { Conversation, type Surroundings } from "./conversation";
import { decodeEntry, decodeRefusal, type Entry, type Refusal } from "./entry";
import { errorOf, ParleyError } from "./errors";
import { Events } from "./events";
import { newId } from "./ids";
import { field, parseJson } from "./json";
import { Link, type ConnectionState, type Fallback } from "./link";
import { ConversationList } from "./list";
import { Marks } from "./marks";
import type { Publish } from "./mqtt/codec";
import type { Connection } from "./mqtt/connection";
import { Outbox } from "./outbox";
import { after, defaultFetch, defaultSocket, fromUtf8, utf8, type Fetch, type RequestOptions, type SocketConstructor } from "./platform";
import { Rest, type Method } from "./rest";
import { Sender } from "./sender";
import { SessionKeeper, type Session, type SignIn } from "./session";
import { decodeMark, decodeState, type State } from "./state";
import { memoryStorage, type Storage } from "./storage";
import { conversationTopic, deviceTopic, placeOf } from "./topic";

export interface ClientOptions {
  /** The server's origin, e.g. "https://chat.example.org", without a slash at its end. */
  readonly server: string;
  readonly signIn: SignIn;
  /** Where the outbox survives a page load; memory if absent. */
  readonly storage?: Storage;
  /** Begins the outbox's keys in the storage. The same for everything that speaks as the same user. */
  readonly namespace: string;
  readonly webSocket?: SocketConstructor;
  readonly fetch?: Fetch;
  /** Another way to the server for where there can be no WebSocket: see "@parley-chat/client/tunnel". */
  readonly fallback?: Fallback;
}

/** How often we ask how far things have got, in milliseconds: what is lost without a sign is found by that. */
const beat = 45_000;

/** What can be listened to with Client.on. */
export interface ClientEvents {
  state: ConnectionState;
  /** A new session: whoever wants to resume it later remembers its refreshToken and device. */
  session: Session;
  /** The list of conversations has changed, or what is unread in them. */
  conversations: ReadonlyMap<string, State>;
  /** A new entry in a conversation that is in use. */
  entry: { readonly conversation: string; readonly entry: Entry };
  /** Something has happened to this user, on whatever device. */
  event: Entry;
  /** The server has refused something for good. */
  refused: Refusal;
  /** Something went wrong that no other event or answer tells. */
  error: ParleyError;
}

/** One device of one user: its connection, its outbox and its conversations. */
export class Client {
  readonly #rest: Rest;
  readonly #keeper: SessionKeeper;
  readonly #link: Link;
  readonly #outbox: Outbox;
  readonly #sender: Sender;
  readonly #events = new Events<ClientEvents>();
  readonly #list = new ConversationList((id) => {
    this.#marks.forget(id);
    this.#inUse.get(id)?.resync(); // finds out, and tells who is looking at it
  });
  readonly #marks: Marks;
  readonly #inUse = new Map<string, Conversation>();
  readonly #unborn = new Set<string>();
  readonly #surroundings: Surroundings;

  constructor(options: ClientOptions) {
    const { server } = options;
    this.#rest = new Rest(server, options.fetch ?? defaultFetch);
    this.#keeper = new SessionKeeper(this.#rest, options.signIn, (session) => this.#events.emit("session", session));
    this.#outbox = new Outbox(options.storage ?? memoryStorage(), options.namespace, (id) => this.#inUse.get(id)?.refreshed());
    this.#outbox.load();
    this.#link = new Link({
      keeper: this.#keeper,
      socket: options.webSocket ?? defaultSocket(),
      fallback: options.fallback,
      urlOf: (session) => server.replace(/^http/, "ws") + session.mqttPath,
      onState: (state) => this.#events.emit("state", state),
      onOpen: (connection, session) => this.#opened(connection, session),
      onPublish: (message) => this.#delivered(message),
      onRoom: () => this.#sender.pump(),
      onLost: () => this.#outbox.requeue(),
      onError: (error) => this.#events.emit("error", error),
    });
    this.#sender = new Sender({
      outbox: this.#outbox,
      open: () => this.#link.open,
      site: () => this.session?.site,
      shown: (id) => this.#inUse.has(id),
      refused: (refusal) => this.#events.emit("refused", refusal),
    });
    this.#marks = new Marks(
      (id, draft) => {
        const { open } = this.#link;
        return open?.room ? open.publish(this.#topic("marks", id), utf8(JSON.stringify(draft))) : undefined;
      },
      () => this.#listed(),
    );
    this.#surroundings = {
      outbox: this.#outbox,
      me: () => this.#me,
      online: () => this.#link.open !== undefined,
      get: (path, decode) => this.call("GET", path, decode),
      delivered: (id) => !this.#staff() || this.#list.states.get(id)?.assignee?.id === this.session?.user,
      entered: (conversation, entry) => this.#events.emit("entry", { conversation, entry }),
      kick: () => this.#sender.pump(),
      marks: this.#marks,
    };
  }

  get state(): ConnectionState {
    return this.#link.state;
  }

  /** Who we are, once the server has said so. */
  get session(): Session | undefined {
    return this.#keeper.current;
  }

  /** The conversations that we know of, by id. */
  get conversations(): ReadonlyMap<string, State> {
    return this.#list.states;
  }

  /** How many messages of a conversation this user has not read, on any device. Conversation.read marks them. */
  unread(id: string): number {
    return this.#marks.unread(id);
  }

  /** Calls `listener` at each event; the answer stops that. */
  on<K extends keyof ClientEvents>(name: K, listener: (value: ClientEvents[K]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Signs in and connects, and stays connected. Call once; again only after stop. */
  start(): void {
    this.#link.start();
  }

  /** Ends the connection. The outbox keeps what it holds. */
  stop(): void {
    this.#link.stop();
  }

  /** Tell it when the network may be back or the page is looked at again: "online", "visibilitychange". */
  networkChanged(): void {
    this.#outbox.load();
    this.#link.networkChanged();
    this.#sender.pump();
    if (this.#link.open) for (const conversation of this.#inUse.values()) conversation.resync();
  }

  /** After "replaced": connects again, and thereby replaces the other connection of this device. */
  takeOver(): void {
    if (this.state === "replaced") this.#link.start();
  }

  /** The conversation with this id, kept in step until `release`. It need not exist yet. */
  conversation(id: string): Conversation {
    const known = this.#inUse.get(id);
    if (known) return known;
    const conversation = new Conversation(id, this.#surroundings, this.#unborn.delete(id));
    this.#inUse.set(id, conversation);
    const state = this.#list.states.get(id);
    if (state) conversation.learn(state);
    const open = this.#link.open;
    if (open) {
      if (this.#staff()) void open.subscribe([this.#topic("state", id)]);
      conversation.resync();
    }
    return conversation;
  }

  /** Stops keeping a conversation in step. Its unsent messages are still sent. */
  release(id: string): void {
    if (!this.#inUse.has(id)) return;
    this.#inUse.get(id)?.release();
    this.#inUse.delete(id);
    if (this.#staff()) void this.#link.open?.unsubscribe([this.#topic("state", id)]);
  }

  /** A new id for a conversation that its first message will open. */
  newConversation(): string {
    const id = newId("cnv_");
    this.#unborn.add(id);
    return id;
  }

  /** Conversations that have messages in the outbox, in the order of the first of each. */
  unsent(): string[] {
    return [...new Set(this.#outbox.rows().map((row) => row.conversation))];
  }

  /** Makes the signed-in agent responsible. Throws a ParleyError: "conflict" if somebody was faster. */
  claim(id: string): Promise<State> {
    return this.#act(id, "claim");
  }

  /** Closes the conversation. Throws a ParleyError. */
  close(id: string): Promise<State> {
    return this.#act(id, "close");
  }

  /** Fetches the list of current conversations anew. Throws a ParleyError. */
  async refresh(): Promise<void> {
    for (const state of await this.#list.refresh(this.#surroundings.get, this.#staff())) this.#learn(state);
    this.#listed();
  }

  /** Asks the REST API as ourselves, and decodes its answer; a refused token is renewed once. Throws a ParleyError. */
  async call<T>(method: Method, path: string, decode: (value: unknown) => T, body?: object, more?: Partial<RequestOptions>): Promise<T> {
    const ask = ({ token }: Session): Promise<T> => this.#rest.call(method, path, decode, token, body, more);
    const session = await this.#keeper.fresh();
    try {
      return await ask(session);
    } catch (error) {
      if (errorOf(error).code !== "unauthenticated") throw error;
      return ask(await this.#keeper.another(session.token));
    }
  }

  get #me(): string {
    return this.session?.user ?? "";
  }

  #staff(): boolean {
    return (this.session?.role ?? "visitor") !== "visitor";
  }

  #topic(kind: "state" | "marks", id: string): string {
    return conversationTopic(kind, this.session?.site ?? "", id);
  }

  #listed(): void {
    this.#events.emit("conversations", this.conversations);
  }

  async #act(id: string, what: "claim" | "close"): Promise<State> {
    const state = await this.call("POST", `/v1/conversations/${id}/${what}`, decodeState);
    this.#learn(state);
    this.#listed();
    return state;
  }

  /** A connection is open: subscribe first, then fetch. */
  async #opened(connection: Connection, session: Session): Promise<void> {
    const { site, user, device } = session;
    await this.#subscribe(connection, [
      conversationTopic("messages", site, "+"),
      conversationTopic("state", site, "+"),
      deviceTopic("errors", site, user, device),
      `p1/${site}/u/${user}/events`,
      ...(this.#staff() ? [...this.#inUse.keys()].map((id) => this.#topic("state", id)) : []),
    ]);
    this.#outbox.load();
    // After this turn the link is online, and fetching makes sense.
    after(0, () => {
      for (const conversation of this.#inUse.values()) conversation.resync();
      this.#refresh();
      this.#beat(connection);
    });
  }

  /** A delivery that is lost is found by the next one. That there was one at all, and it was the last, only asking tells. */
  #beat(connection: Connection): void {
    const stop = after(beat * (0.75 + Math.random() / 2), () => {
      for (const { id, state } of this.#inUse.values()) if (state) this.call("GET", `/v1/conversations/${id}`, decodeState).then((now) => this.#learn(now), () => {});
      if (this.#staff()) this.#refresh();
      this.#beat(connection);
    });
    void connection.closed.then(stop);
  }

  #refresh(): void {
    this.refresh().catch((error: unknown) => this.#events.emit("error", errorOf(error)));
  }

  /** Resolves after the first answer; what was not granted is asked for again until it is, or the connection ends. */
  async #subscribe(connection: Connection, filters: readonly string[], backoff = new Backoff()): Promise<void> {
    const codes = await connection.subscribe(filters);
    const missing = filters.filter((_, i) => (codes[i] ?? 0x80) >= 0x80);
    if (missing.length === 0) return;
    this.#events.emit("error", new ParleyError("unavailable", `not subscribed: ${missing}`));
    const stop = after(backoff.next(), () => void this.#subscribe(connection, missing, backoff));
    void connection.closed.then(stop);
  }

  #delivered({ topic: name, payload }: Publish): void {
    const { kind, id } = placeOf(name);
    try {
      if (kind === "state") return this.#stateCame(id, payload);
      const entry = decodeEntry(parseJson(fromUtf8(payload)));
      if (kind === "messages") this.#entryCame(id, entry);
      if (kind === "events") this.#events.emit("event", entry);
      // Only maxima: a repetition changes nothing, and the next state closes a gap.
      if (entry.type === "marked") this.#marks.learn(field.text(entry.body, "conversation"), entry.epoch, 0, decodeMark(entry.body));
      if (kind === "errors") this.#sender.refused(decodeRefusal(entry));
    } catch (error) {
      // Taken all the same: a payload that nobody can read would otherwise come again for ever.
      this.#events.emit("error", new ParleyError("internal", `unreadable on ${name}: ${error}`));
    }
  }

  #entryCame(id: string, entry: Entry): void {
    const own = entry.sender === this.#me && !isChange(entry); // the server marks it by itself
    this.#marks.mark(id, entry, own, own);
    this.#inUse.get(id)?.receive(entry);
  }

  /** An empty state is MQTT's way to say that there is nothing to see any more. */
  #stateCame(id: string, payload: Uint8Array): void {
    if (payload.length > 0) {
      this.#learn(decodeState(parseJson(fromUtf8(payload))));
    } else {
      this.#list.forget(id);
    }
    this.#listed();
  }

  #learn(state: State): void {
    const conversation = this.#inUse.get(state.conversation);
    const { epoch, count, marks } = state;
    this.#marks.learn(state.conversation, epoch, count, marks.find(({ user }) => user === this.#me));
    if (this.#list.learn(state)) conversation?.learn(state);
    else conversation?.resync(); // it is late, or the server numbers anew: the log tells
  }
}
