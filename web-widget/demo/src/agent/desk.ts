import { textOf, type Conversation, type Item } from "@parley-chat/client";
import type { Face, OwnState } from "../device/reporter";
import type { Row } from "../protocol";
import type { WatchedClient } from "./watched";

/** Sees the console through the client that it draws. */
export class DeskFace implements Face {
  readonly #client: WatchedClient;
  readonly #own = new Map<string, OwnState>();

  constructor(client: WatchedClient) {
    this.#client = client;
  }

  user(): string {
    return this.#client.session?.user ?? "";
  }

  online(): boolean {
    return this.#client.state === "online";
  }

  canSend(): boolean {
    return this.#mine() !== undefined;
  }

  observe(): void {
    for (const conversation of this.#client.shown) {
      for (const item of conversation.items()) if (item.kind === "own") this.#note(conversation.id, item);
    }
  }

  views(): { conversation: string; complete: boolean; rows: Row[] }[] {
    return this.#client.shown.map((conversation) => {
      const rows: Row[] = [];
      for (const item of conversation.items()) {
        this.#note(conversation.id, item);
        const text = item.kind === "entry" ? textOf(item.entry) : undefined;
        if (item.kind !== "entry" || text === undefined) continue;
        const { seq, id, sender } = item.entry;
        rows.push({ seq, id, text, own: sender === this.user() });
      }
      const complete = conversation.loaded && !conversation.hasOlder;
      if (conversation.loaded && !complete && this.online()) conversation.loadOlder().catch(() => {}); // the next look tries again
      return { conversation: conversation.id, complete, rows };
    });
  }

  own(): OwnState[] {
    return [...this.#own.values()];
  }

  send(text: string): void {
    this.#mine()?.send(text);
  }

  /** The open conversation that this agent answers. */
  #mine(): Conversation | undefined {
    return this.#client.shown.find(({ state }) => state?.status === "open" && state.assignee?.id === this.user());
  }

  /** Keeps what has become of our own messages; the agent's other devices keep theirs. */
  #note(conversation: string, item: Item): void {
    if (item.kind === "own") {
      const { draft, seq, state } = item.message;
      const known = { conversation, id: draft.id, text: draft.text, seq };
      this.#own.set(draft.id, { ...known, state: state === "acked" ? "acked" : state === "failed" ? "refused" : "sent" });
      return;
    }
    const { sender, device, id, seq } = item.entry;
    if (sender !== this.user() || device !== this.#client.session?.device) return;
    const before = this.#own.get(id);
    if (before?.state === "acked" || before?.state === "history") return;
    this.#own.set(id, { conversation, id, seq, text: textOf(item.entry) ?? "", state: before ? "acked" : "history" });
  }
}
