import { isChange, shownOf, type Shown } from "./changes";
import type { Client } from "./client";
import type { Conversation } from "./conversation";
import { decodeEntry, decodePage, type Entry, type Page } from "./entry";
import { field, object } from "./json";
import { begin, emptyLog, fill, hasOlder, prepend, type Log } from "./log";

const pageSize = 50;

/** A page, and what became of its messages further on. */
interface AmendedPage extends Page {
  readonly amendments: readonly Entry[];
}

/**
 * A part of a conversation's history that lies away from its end, to read in.
 *
 *          oldest …… end               conversation
 *   ──────────┼─entries─┼──── gap ────────┼─entries──┤
 *
 * The conversation must be in use meanwhile: what changes is learnt from it.
 */
export class Passage {
  readonly #client: Pick<Client, "call" | "on">;
  readonly #conversation: Conversation;
  readonly #changed: () => void;
  readonly #stop: () => void;
  #log: Log = emptyLog;
  /** Edits and deletes from beyond `end`, by seq. */
  #amendments: readonly Entry[] = [];
  #shown: readonly Shown[] | undefined;
  #loading = false;

  /** `changed` is called when items have changed, except by a call that loads. */
  constructor(client: Pick<Client, "call" | "on">, conversation: Conversation, changed: () => void) {
    this.#client = client;
    this.#conversation = conversation;
    this.#changed = changed;
    this.#stop = client.on("entry", ({ conversation: id, entry }) => {
      if (id !== conversation.id || !isChange(entry)) return;
      this.#amend([entry]);
      this.#changed();
    });
  }

  /** Entries by seq, as their changes leave them. The same array until something changes. */
  items(): readonly Shown[] {
    const { entries } = this.#log;
    return (this.#shown ??= shownOf([...entries, ...this.#amendments], []).slice(0, entries.length));
  }

  get hasOlder(): boolean {
    return hasOlder(this.#log);
  }

  /** Where history starts on the server. */
  get first(): number {
    return this.#log.first;
  }

  /** Fetches what stands around the seq. Throws a ParleyError. */
  open(seq: number): Promise<void> {
    return this.#load(`around=${seq}`, (page) => begin(emptyLog, page));
  }

  /** Fetches the page before the oldest entry here. Throws a ParleyError. */
  async loadOlder(): Promise<void> {
    const oldest = this.#log.entries[0]?.seq;
    if (oldest !== undefined && this.hasOlder) await this.#load(`before=${oldest}`, (page) => prepend(this.#log, page));
  }

  /** Fetches the page behind the newest entry here. Throws a ParleyError. */
  async loadNewer(): Promise<void> {
    await this.#load(`after=${this.#log.have}`, (page) => fill(this.#log, page));
  }

  /** Gives the conversation what is here, if there is no gap between them; answers whether that is so, and this passage not needed any more. */
  join(): boolean {
    const [oldest] = this.#conversation.items();
    if (oldest?.kind !== "entry") return true; // there is nothing to be away from
    const { seq } = oldest.entry;
    if (this.#log.have < seq - 1) return false;
    this.#conversation.join({ ...this.#log, entries: this.#log.entries.filter((entry) => entry.seq < seq) });
    return true;
  }

  stop(): void {
    this.#stop();
  }

  async #load(where: string, take: (page: Page) => Log): Promise<void> {
    if (this.#loading) return;
    this.#loading = true;
    try {
      const page = await this.#client.call("GET", `/v1/conversations/${this.#conversation.id}/messages?${where}&limit=${pageSize}`, decodeAmended);
      this.#log = take(page);
      this.#amend(page.amendments);
    } finally {
      this.#loading = false;
    }
  }

  #amend(news: readonly Entry[]): void {
    this.#amendments = [...this.#amendments, ...news].sort((a, b) => a.seq - b.seq);
    this.#shown = undefined;
  }
}

function decodeAmended(value: unknown): AmendedPage {
  return { ...decodePage(value), amendments: field.list(object(value), "amendments", decodeEntry) };
}
