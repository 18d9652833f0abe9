import { Client, type Conversation } from "@parley-chat/client";

/** A client that knows which conversations are open on the screen. */
export class WatchedClient extends Client {
  readonly #open = new Map<string, { conversation: Conversation; stop: () => void }>();
  readonly #listeners = new Set<() => void>();

  /** Calls `listener` after every change of what is shown. */
  watch(listener: () => void): void {
    this.#listeners.add(listener);
  }

  get shown(): Conversation[] {
    return [...this.#open.values()].map(({ conversation }) => conversation);
  }

  override conversation(id: string): Conversation {
    const conversation = super.conversation(id);
    if (!this.#open.has(id)) this.#open.set(id, { conversation, stop: conversation.subscribe(() => this.#tell()) });
    return conversation;
  }

  override release(id: string): void {
    this.#open.get(id)?.stop();
    this.#open.delete(id);
    super.release(id);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
