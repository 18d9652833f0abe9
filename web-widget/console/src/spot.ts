import { ParleyError, type Client, type Code, type Conversation } from "@parley-chat/client";
import { Passage } from "@parley-chat/client/search";

/** How long until a history that did not come is asked for again, in ms. */
const again = 2_000;

/**
 * A message that somebody wants to see, wherever in its conversation's history
 * it stands: among what the conversation holds, or in a passage far from it.
 */
export class Spot {
  readonly seq: number;
  readonly #conversation: Conversation;
  readonly #changed: () => void;
  readonly #passage: Passage;
  #state: "seeking" | "loading" | "away" | "among" | "ended" = "seeking";
  #failure: Code | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `changed` is called when there is something else to show, but not by `look`. */
  constructor(client: Client, conversation: Conversation, seq: number, changed: () => void) {
    this.seq = seq;
    this.#conversation = conversation;
    this.#changed = changed;
    this.#passage = new Passage(client, conversation, changed);
  }

  /** What to show in place of the conversation's newest messages, undefined where those have the message. */
  get passage(): Passage | undefined {
    return this.#state === "away" ? this.#passage : undefined;
  }

  /** Whether the place of the message is not known yet. */
  get seeking(): boolean {
    return this.#state === "seeking" || this.#state === "loading";
  }

  /** Why the history did not come. It is asked for again where that may help. */
  get failure(): Code | undefined {
    return this.#failure;
  }

  /** Looks where the message is, if that is not known yet. Call whenever the conversation has changed. */
  look(): void {
    if (this.#state !== "seeking" || !this.#conversation.loaded) return;
    const [oldest] = this.#conversation.items();
    if (oldest?.kind !== "entry" || oldest.entry.seq <= this.seq) this.#state = "among";
    else void this.#open();
  }

  async older(): Promise<void> {
    await this.#passage.loadOlder();
    this.#arrived();
  }

  async newer(): Promise<void> {
    await this.#passage.loadNewer();
    this.#arrived();
  }

  stop(): void {
    this.#state = "ended";
    clearTimeout(this.#timer);
    this.#passage.stop();
  }

  async #open(): Promise<void> {
    this.#state = "loading";
    try {
      await this.#passage.open(this.seq);
      this.#failure = undefined;
      this.#arrived();
    } catch (error) {
      if (this.#state === "loading") this.#failed(error instanceof ParleyError ? error : new ParleyError("internal", String(error)));
    }
  }

  #failed({ code, retry }: ParleyError): void {
    this.#failure = code;
    if (retry) this.#timer = setTimeout(() => void this.#open(), again);
    else this.#state = "among"; // as near as we get
    this.#changed();
  }

  /** Shows what has come; a passage that has reached the conversation becomes a part of it. */
  #arrived(): void {
    if (this.#state === "ended") return;
    this.#state = this.#passage.join() ? "among" : "away";
    this.#changed();
  }
}
