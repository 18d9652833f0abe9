import type { Entry } from "./entry";
import type { Ack } from "./mqtt/codec";
import { after } from "./platform";
import type { Mark } from "./state";

/** At most one mark per conversation leaves in this time: other devices are to show within a second what was read here. What is delivered waits so long, too: mostly it is read by then. */
const gap = 800;
/** What is read in one go is marked in one go. */
const gather = 50;

/** What a device tells of itself: positions in the numbering of `epoch`. */
export interface MarkDraft {
  readonly epoch: string;
  readonly delivered: number;
  readonly read: number;
}

/** How far somebody has got, whoever it is. */
type Reached = Omit<Mark, "user">;

const nowhere: Reached = { delivered: 0, read: 0, count: 0 };

/** What is known of one conversation. All of it only rises within an epoch: news may come in any order, in pieces and any number of times. */
interface Held {
  readonly epoch: string;
  /** Messages that there are. */
  count: number;
  mine: Reached;
  /** What the server knows of us, or has been asked to know on this connection. */
  told: Reached;
  /** Only what cannot wait so long comes before what is planned. */
  wait: number;
  stop?: () => void;
}

const further = (a: Reached, b: Reached): Reached => ({
  delivered: Math.max(a.delivered, b.delivered),
  read: Math.max(a.read, b.read),
  count: Math.max(a.count, b.count),
});

/** How long the server may do without what it has not been told. */
const waitOf = ({ mine, told }: Held): number => (mine.read > told.read ? gather : mine.delivered > told.delivered ? gap : Infinity);

/** What this user has read, here and on other devices. Tells the server until it knows; what it does not know when the page ends is marked again by the next page. */
export class Marks {
  readonly #publish: (conversation: string, draft: MarkDraft) => Promise<Ack | undefined> | undefined;
  readonly #changed: () => void;
  readonly #held = new Map<string, Held>();

  /** `publish` answers undefined while nothing can be sent. `changed` is called when the unread have changed somewhere. */
  constructor(publish: (conversation: string, draft: MarkDraft) => Promise<Ack | undefined> | undefined, changed: () => void) {
    this.#publish = publish;
    this.#changed = changed;
  }

  /** How many messages this user has not read. */
  unread(conversation: string): number {
    const held = this.#held.get(conversation);
    return held ? Math.max(0, held.count - held.mine.count) : 0;
  }

  /** There are so many messages, and we have got so far; `told` says that this is from the server. */
  learn(conversation: string, epoch: string, count: number, mine: Reached = nowhere, told = true): void {
    const before = this.unread(conversation);
    const held = this.#of(conversation, epoch);
    held.count = Math.max(held.count, count);
    held.mine = further(held.mine, mine);
    if (told) held.told = further(held.told, mine);
    this.#plan(conversation, held);
    if (this.unread(conversation) !== before) this.#changed();
  }

  /** The entry is on this device. Everything up to it has been read, or not; the server knows that by itself, or not. */
  mark(conversation: string, { epoch, seq, count }: Entry, read: boolean, told = false): void {
    this.learn(conversation, epoch, count, { delivered: seq, read: read ? seq : 0, count: read ? count : 0 }, told);
  }

  /** The conversation is out of sight, or numbered anew. */
  forget(conversation: string): void {
    this.#held.get(conversation)?.stop?.();
    this.#held.delete(conversation);
  }

  #of(conversation: string, epoch: string): Held {
    const known = this.#held.get(conversation);
    if (known?.epoch === epoch) return known;
    this.forget(conversation);
    const held = { epoch, count: 0, mine: nowhere, told: nowhere, wait: Infinity };
    this.#held.set(conversation, held);
    return held;
  }

  #plan(conversation: string, held: Held): void {
    const wait = waitOf(held);
    if (wait < held.wait) this.#after(wait, conversation, held, wait);
  }

  #after(ms: number, conversation: string, held: Held, wait: number): void {
    held.stop?.();
    held.wait = wait;
    held.stop = after(ms, () => {
      held.wait = Infinity;
      if (waitOf(held) === Infinity) return;
      this.#after(gap, conversation, held, 0);
      this.#tell(conversation, held);
    });
  }

  #tell(conversation: string, held: Held): void {
    const { epoch, mine } = held;
    const answer = this.#publish(conversation, { epoch, delivered: mine.delivered, read: mine.read });
    if (answer) held.told = mine;
    // Any answer is one: what was refused is not told again.
    void answer?.then((ack) => {
      if (ack) return;
      held.told = nowhere;
      this.#plan(conversation, held);
    });
  }
}
