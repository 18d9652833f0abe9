import { Component, createRef, type JSX } from "preact";
import { newestOwn, rowsOf, type Row } from "@parley-chat/client";
import type { View } from "../chat";
import { DownIcon } from "./icons";
import { MessageRow, type MessageActions } from "./message";
import type { Words } from "./words";

const nearEnd = 80;

export interface MessagesProps {
  view: View;
  actions: MessageActions;
  loadOlder(): Promise<void>;
  seen(): void;
}

/** The list of messages. It stays at its end unless the reader has scrolled away from it. */
export class Messages extends Component<MessagesProps> {
  readonly #list = createRef<HTMLDivElement>();
  #fromEnd = 0;
  #scrolling = 0;
  #away = false;
  #loading = false;
  #rows: Row[] = [];
  /** What the rows were made from, and which of them were first and last when they were drawn. */
  #made: View | undefined;
  #first: string | undefined;
  #last: string | undefined;

  /** What opens above or below takes room: the last line stays in sight. */
  readonly #resized = new ResizeObserver(() => this.#away || this.#toEnd());

  override componentDidMount(): void {
    if (this.#list.current) this.#resized.observe(this.#list.current);
    document.addEventListener("visibilitychange", this.#look);
    this.componentDidUpdate();
  }

  override componentWillUnmount(): void {
    this.#resized.disconnect();
    document.removeEventListener("visibilitychange", this.#look);
  }

  /** Whatever was added, above or below: the reader keeps the place, the end keeps the end. */
  override componentDidUpdate(): void {
    const at = this.#list.current;
    const first = this.#rows.find((row) => row.kind !== "day")?.key;
    const last = this.#rows.at(-1);
    const now = last?.kind === "bubble" ? `${last.key} ${last.change?.state}` : last?.key;
    if (now !== this.#last) {
      if (!this.#away || (last?.kind === "bubble" && last.pending)) this.#toEnd();
      this.#look();
    }
    if (at && this.#away && first !== this.#first) at.scrollTop = at.scrollHeight - this.#fromEnd;
    this.#first = first;
    this.#last = now;
  }

  /** Nobody sees what is added to a page in the background. */
  readonly #look = (): void => {
    if (!this.#away && document.visibilityState === "visible") this.props.seen();
  };

  /** Once a frame: measuring the list after each of many messages would be most of the work. */
  #toEnd(): void {
    this.#scrolling ||= requestAnimationFrame(() => {
      this.#scrolling = 0;
      this.#list.current?.scrollTo({ top: this.#list.current.scrollHeight });
    });
  }

  #onScroll({ scrollHeight, scrollTop, clientHeight }: HTMLElement): void {
    this.#fromEnd = scrollHeight - scrollTop;
    this.#away = this.#fromEnd - clientHeight > nearEnd;
    this.setState({});
    this.#look();
  }

  async #older(): Promise<void> {
    this.#loading = this.#away = true;
    this.setState({});
    await this.props.loadOlder().catch(() => {}); // the button stays, to be pressed again
    this.#loading = false;
    this.setState({});
  }

  /** The button that was pressed goes with the message. */
  #delete(seq: number): void {
    this.props.actions.delete(seq);
    this.#list.current?.focus();
  }

  #rowsOf(view: View): Row[] {
    const { items, me, assignee } = view;
    const made = this.#made;
    if (made?.items !== items || made.me !== me || made.assignee !== assignee) this.#rows = rowsOf(items, me, "visitor", [assignee]);
    this.#made = view;
    return this.#rows;
  }

  override render({ view, actions }: MessagesProps, _: unknown, { texts }: Words): JSX.Element {
    const rows = this.#rowsOf(view);
    const read = newestOwn(rows, view.agentRead);
    return (
      <div class="middle">
        <div class="list" ref={this.#list} onScroll={(event) => this.#onScroll(event.currentTarget)} role="log" aria-label={texts.log} aria-live="polite" tabIndex={0}>
          {view.hasOlder && (
            <button type="button" class="older" disabled={this.#loading} onClick={() => void this.#older()}>
              {this.#loading ? texts.loading : texts.older}
            </button>
          )}
          {view.loaded && !view.hasOlder && view.first > 1 && <p class="notice">{texts.historyStarts}</p>}
          {rows.length === 0 && <Empty />}
          {rows.map((row, i) => (
            <MessageRow key={row.key} row={row} last={i === rows.length - 1} read={row.key === read} actions={{ ...actions, delete: (seq) => this.#delete(seq) }} />
          ))}
        </div>
        {this.#away && view.unread > 0 && (
          <button type="button" class="jump" onClick={() => this.#toEnd()}>
            <DownIcon />
            {texts.newMessages}
          </button>
        )}
      </div>
    );
  }
}

function Empty(_: object, { texts }: Words): JSX.Element {
  return (
    <div class="empty">
      <span class="wave" aria-hidden="true">
        👋
      </span>
      <h2>{texts.emptyTitle}</h2>
      <p>{texts.emptyText}</p>
    </div>
  );
}
