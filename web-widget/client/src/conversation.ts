import { Backoff } from "./backoff";
import { isChange, shownOf, type Shown } from "./changes";
import type { DraftType } from "./draft";
import { decodePage, type Listed, type Entry, type Page } from "./entry";
import { errorOf, type ParleyError } from "./errors";
import { Events } from "./events";
import { begin, emptyLog, fill, hasOlder, isBehind, learnHead, prepend, receive, type Log } from "./log";
import type { Marks } from "./marks";
import type { Outbox, Outgoing } from "./outbox";
import { after } from "./platform";
import type { State } from "./state";

const pageSize = 50;
const fillSize = 200;
/** How long a gap may close by itself before we fetch: deliveries overtake each other by less. */
const gapPatience = 500;

/** One row of a conversation as it is shown: an entry, or a message of ours that is not one yet. */
export type Item = Shown | { readonly kind: "own"; readonly message: Outgoing };

/** What a conversation needs of the client around it. */
export interface Surroundings {
  readonly outbox: Outbox;
  readonly marks: Marks;
  /** Who we are, empty while that is not known. */
  me(): string;
  online(): boolean;
  /** Asks the REST API, renewing the token where needed. */
  get<T>(path: string, decode: (value: unknown) => T): Promise<T>;
  /** Whether new entries of this conversation are delivered to us, or have to be fetched when its head moves. */
  delivered(conversation: string): boolean;
  entered(conversation: string, entry: Entry): void;
  kick(): void;
}

/** One conversation, kept in step with the server. Get it from Client.conversation. */
export class Conversation {
  readonly id: string;
  readonly #around: Surroundings;
  readonly #unborn: boolean;
  readonly #events = new Events<{ change: undefined }>();
  readonly #backoff = new Backoff();
  #log: Log = emptyLog;
  #present: State | undefined;
  #shown: readonly Item[] | undefined;
  #failure: ParleyError | undefined;
  #busy = false;
  #loadingOlder = false;
  #released = false;
  #stopTimer: (() => void) | undefined;

  /** `unborn` says that nobody can have written here yet: there is nothing to fetch until something comes. */
  constructor(id: string, around: Surroundings, unborn: boolean) {
    this.id = id;
    this.#unborn = unborn;
    this.#around = around;
  }

  /** Entries by seq, then our own unfinished messages in the order they were written. The same array until something changes. */
  items(): readonly Item[] {
    if (this.#shown) return this.#shown;
    const own = this.#around.outbox.rows(this.id);
    return (this.#shown = [
      ...shownOf(this.#log.entries, own.filter(({ draft }) => isChange(draft))),
      ...own.flatMap((message): Item[] => (isChange(message.draft) ? [] : [{ kind: "own", message }])),
    ]);
  }

  /** The newest state known, undefined before the conversation exists. */
  get state(): State | undefined {
    return this.#present;
  }

  /** Whether the newest page is here. A conversation that does not exist yet is loaded and empty. */
  get loaded(): boolean {
    return this.#log.epoch !== "" || this.#nobodyWrote || this.#failure?.code === "not_found";
  }

  /** Whether loadOlder would bring something. */
  get hasOlder(): boolean {
    return hasOlder(this.#log);
  }

  /** Where history starts on the server: above 1 when the beginning has been removed. */
  get first(): number {
    return this.#log.first;
  }

  /** Why the last fetch failed, undefined after one that succeeded. */
  get error(): ParleyError | undefined {
    return this.#failure;
  }

  /** Calls `listener` after every change; the answer stops that. */
  subscribe(listener: () => void): () => void {
    return this.#events.on("change", listener);
  }

  /** Writes a message, perhaps with files that have been uploaded to this conversation. It is in the outbox when this returns, and leaves when there is a connection. Throws a ParleyError if it is empty or too long. */
  send(text: string, files?: readonly Listed[]): Outgoing {
    return this.#put("text", text, 0, files);
  }

  /** Gives an own message other words. Throws a ParleyError like `send`; a refusal by the server shows at the message. */
  edit(seq: number, text: string): void {
    this.#put("edit", text, seq);
  }

  /** Deletes a message, for everybody and for good. */
  delete(seq: number): void {
    this.#put("delete", "", seq);
  }

  /** Sends a failed message or change again, as a new one at the end. */
  retry(id: string): void {
    this.#around.outbox.retry(id);
    this.#around.kick();
  }

  /** Forgets a failed message or change. */
  discard(id: string): void {
    this.#around.outbox.discard(id);
  }

  /** Everything that is here has been read. Call whenever that is so; marking again costs nothing. */
  read(): void {
    this.#mark(true);
  }

  /** Fetches the page before the oldest entry here. Throws a ParleyError. */
  async loadOlder(): Promise<void> {
    const oldest = this.#log.entries[0]?.seq;
    if (this.#loadingOlder || !this.hasOlder || oldest === undefined) return;
    this.#loadingOlder = true;
    try {
      this.join(await this.#page(`before=${oldest}&limit=${pageSize}`));
    } finally {
      this.#loadingOlder = false;
    }
  }

  /** For a passage: what stands right before the oldest entry here. */
  join(page: Page): void {
    this.#advance(prepend(this.#log, page));
  }

  /** For the client: a delivery. */
  receive(entry: Entry): void {
    this.#advance(receive(this.#log, entry));
  }

  /** For the client: a new state. */
  learn(state: State): void {
    this.#present = state;
    this.#advance(learnHead(this.#log, state.epoch, state.head));
    if (this.#failure?.retry === false) this.resync(); // we see it again
  }

  /** For the client: rows of the outbox have changed. */
  refreshed(): void {
    this.#settle();
    this.#shown = undefined;
    this.#events.emit("change", undefined);
  }

  /** For the client: there is a connection (again); look for what was missed. */
  resync(): void {
    this.#backoff.reset();
    this.#schedule(0);
  }

  /** For the client: this conversation will not be used any more. */
  release(): void {
    this.#stopTimer?.();
    this.#released = true;
  }

  #put(type: DraftType, text: string, target?: number, files?: readonly Listed[]): Outgoing {
    const { outbox } = this.#around;
    const before = outbox.rows(this.id);
    const message = outbox.add(this.id, type, text, target, files);
    for (const { draft } of before) if (target && draft.target === target) outbox.discard(draft.id); // failed, and not wanted any more
    this.#around.kick();
    return message;
  }

  /** Shows the new log, and sees to it that a gap is filled. */
  #advance(log: Log): void {
    const before = this.#log;
    this.#log = log;
    const same = log.epoch === before.epoch;
    const news = log.entries.slice(same ? Math.min(0, before.have - log.have) || log.entries.length : 0);
    this.#settle(news);
    if (same) for (const entry of news) this.#around.entered(this.id, entry);
    this.#mark(false);
    if (isBehind(log) && !this.#stopTimer && !this.#busy) this.#schedule(this.#around.delivered(this.id) && log.epoch !== "" ? gapPatience : 0);
    this.refreshed();
  }

  /** Our own messages have come back: their entries take the place of the pending rows. */
  #settle(news: readonly Entry[] = []): void {
    const rows = this.#around.outbox.rows(this.id);
    if (rows.length === 0) return;
    const own = new Set(news.filter((entry) => entry.sender === this.#around.me()).map((entry) => entry.id));
    for (const { draft, state, seq } of rows) {
      const here = state === "acked" && seq > 0 && seq <= this.#log.have;
      if (here || own.has(draft.id)) this.#around.outbox.settle(draft.id);
    }
  }

  #mark(read: boolean): void {
    const newest = this.#log.entries.at(-1);
    if (newest) this.#around.marks.mark(this.id, newest, read);
  }

  get #nobodyWrote(): boolean {
    return this.#unborn && this.#log.head === 0;
  }

  #schedule(ms: number): void {
    this.#stopTimer?.();
    this.#stopTimer = after(ms, () => {
      this.#stopTimer = undefined;
      void this.#catchUp();
    });
  }

  /** Fetches until nothing is missing. */
  async #catchUp(): Promise<void> {
    if (this.#busy || this.#nobodyWrote || !this.#around.online()) return;
    this.#busy = true;
    try {
      do await this.#step();
      while (isBehind(this.#log));
      this.#failure = undefined;
      this.#backoff.reset();
    } catch (error) {
      this.#failure = errorOf(error);
    }
    this.#busy = false;
    this.refreshed();
    if (this.#released) return;
    if (this.#failure ? this.#failure.retry : isBehind(this.#log)) this.#schedule(this.#backoff.next());
  }

  /** Fetches one page: the newest if nothing is here yet, else what comes next. */
  async #step(): Promise<void> {
    const { epoch, have, head } = this.#log;
    if (epoch === "") {
      const page = await this.#page(`limit=${pageSize}`);
      if (this.#log.epoch === "") this.#advance(begin(this.#log, page));
      return;
    }
    const page = await this.#page(`after=${have}&limit=${fillSize}`);
    if (this.#log.epoch !== epoch) return;
    const next = fill(this.#log, page, head);
    const stuck = next.have === have && isBehind(next);
    this.#advance(next);
    if (stuck) throw errorOf("entries are missing");
  }

  #page(query: string): Promise<Page> {
    return this.#around.get(`/v1/conversations/${this.id}/messages?${query}`, decodePage);
  }
}
