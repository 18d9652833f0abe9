import { decodeStatePage, type State, type StatePage, type Status } from "./state";

type Get = <T>(path: string, decode: (value: unknown) => T) => Promise<T>;

const pageSize = 100;
/** A list that nobody could read any more is not fetched to its end. */
const maxPages = 10;

/** The conversations that we know of, by id, each with its newest state. */
export class ConversationList {
  readonly states = new Map<string, State>();

  /** Takes a state unless it is older than the one known; answers whether it did. */
  learn(state: State): boolean {
    const known = this.states.get(state.conversation);
    if (known && known.epoch === state.epoch && known.head > state.head) return false;
    this.states.set(state.conversation, state);
    return true;
  }

  /** Takes a conversation off the list: its state came empty, we may not see it any more. */
  forget(id: string): void {
    this.states.delete(id);
  }

  /**
   * Fetches what is current: for a visitor everything, for staff what waits or is
   * open. A conversation that is not in the answer has left our sight; one that
   * has fewer entries than before we asked is numbered anew.
   */
  async refresh(get: Get, staff: boolean): Promise<State[]> {
    const before = new Map(this.states);
    const found: State[] = [];
    let whole = true;
    for (const status of staff ? (["queued", "open"] as const) : [undefined]) {
      let cursor = "";
      for (let page = 0; page < maxPages; page++) {
        const answer = await this.page(get, { cursor, ...(status && { status }) });
        found.push(...answer.conversations);
        cursor = answer.nextCursor;
        if (!cursor) break;
      }
      whole &&= !cursor;
    }
    const heads = new Map(found.map((state) => [state.conversation, state.head]));
    for (const [id, state] of before) {
      if (this.states.get(id) !== state) continue; // newer than the answer
      const gone = whole && state.status !== "closed" && !heads.has(id);
      const renumbered = (heads.get(id) ?? state.head) < state.head;
      if (gone || renumbered) this.states.delete(id);
    }
    return found;
  }

  /** Fetches one page, most recently updated first. */
  page(get: Get, { status, cursor }: { status?: Status; cursor?: string }): Promise<StatePage> {
    const query = [`limit=${pageSize}`];
    if (status) query.push(`status=${status}`);
    if (cursor) query.push(`cursor=${encodeURIComponent(cursor)}`);
    return get(`/v1/conversations?${query.join("&")}`, decodeStatePage);
  }
}
