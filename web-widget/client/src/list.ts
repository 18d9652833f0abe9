import { decodeStatePage, type State } from "./state";

type Get = <T>(path: string, decode: (value: unknown) => T) => Promise<T>;

const pageSize = 100;
/** A list that nobody could read any more is not fetched to its end. */
const maxPages = 10;

/** The conversations that we know of, by id, each with its newest state. */
export class ConversationList {
  readonly states = new Map<string, State>();
  readonly #forgotten: (id: string) => void;
  /** What has left our sight while the list is being fetched: the answer may be older. */
  readonly #left = new Set<Set<string>>();

  /** `forgotten` is told what is not on the list any more. */
  constructor(forgotten: (id: string) => void) {
    this.#forgotten = forgotten;
  }

  /** Takes a state unless it is older than the one known; answers whether it did. */
  learn(state: State): boolean {
    const known = this.states.get(state.conversation);
    if (known && known.epoch === state.epoch && (known.head - state.head || marked(known) - marked(state)) > 0) return false;
    this.states.set(state.conversation, state);
    return true;
  }

  /** Takes a conversation off the list: its state came empty, we may not see it any more. */
  forget(id: string): void {
    this.states.delete(id);
    for (const left of this.#left) left.add(id);
    this.#forgotten(id);
  }

  /**
   * Fetches what is current: for a visitor everything, for staff what waits or is
   * open. A conversation that is not in the answer has left our sight; one that
   * has fewer entries than before we asked is numbered anew.
   */
  async refresh(get: Get, staff: boolean): Promise<State[]> {
    const before = new Map(this.states);
    const left = new Set<string>();
    this.#left.add(left);
    const found: State[] = [];
    let whole = true;
    try {
      for (const status of staff ? ["&status=queued", "&status=open"] : [""]) {
        let cursor = "";
        for (let page = 0; page < maxPages; page++) {
          const answer = await get(`/v1/conversations?limit=${pageSize}${status}${cursor}`, decodeStatePage);
          found.push(...answer.conversations);
          cursor = answer.nextCursor && `&cursor=${encodeURIComponent(answer.nextCursor)}`;
          if (!cursor) break;
        }
        whole &&= !cursor;
      }
    } finally {
      this.#left.delete(left);
    }
    const heads = new Map(found.map((state) => [state.conversation, state.head]));
    for (const [id, state] of before) {
      if (this.states.get(id) !== state) continue; // newer than the answer
      const gone = whole && state.status !== "closed" && !heads.has(id);
      const renumbered = (heads.get(id) ?? state.head) < state.head;
      if (gone || renumbered) this.forget(id);
    }
    return found.filter((state) => !left.has(state.conversation));
  }
}

/** Grows with every mark: of two states with one head it tells which is older. */
const marked = ({ marks }: State): number => marks.reduce((sum, { delivered, read }) => sum + delivered + read, 0);
