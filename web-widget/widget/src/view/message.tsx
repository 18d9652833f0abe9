import { Component, type JSX } from "preact";
import { isBlank, partsOf, type Bubble, type Outgoing, type Row } from "@parley-chat/client";
import { CheckIcon, ClockIcon } from "./icons";
import { fill } from "../texts";
import type { Words } from "./words";

export interface MessageActions {
  retry(id: string): void;
  discard(id: string): void;
  edit(seq: number, text: string): void;
  delete(seq: number): void;
  /** Puts words where a new message is written. */
  reuse(text: string): void;
}

interface RowProps {
  readonly last: boolean;
  /** It is the newest of ours that an agent has read. */
  readonly read: boolean;
  readonly actions: MessageActions;
}

/** One row of the list. */
export function MessageRow({ row, ...rest }: RowProps & { row: Row }): JSX.Element {
  switch (row.kind) {
    case "day":
      return <Day at={row.at} />;
    case "notice":
      return <Notice row={row} />;
    case "bubble":
      return <BubbleRow bubble={row} {...rest} />;
  }
}

/** What a visitor need not know is not shown. */
function Notice({ row }: { row: Row & { kind: "notice" } }, { texts }: Words): JSX.Element | null {
  const words = { assigned: fill(texts.joined, row.name || texts.agent), closed: texts.closed }[row.entry.type];
  return words ? <p class="notice">{words}</p> : null;
}

function Day({ at }: { at: number }, { locale, texts }: Words): JSX.Element {
  const date = new Date(at);
  const daysAgo = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86_400_000);
  const year = date.getFullYear() === new Date().getFullYear() ? {} : ({ year: "numeric" } as const);
  const words =
    daysAgo === 0 ? texts.today : daysAgo === 1 ? texts.yesterday : date.toLocaleDateString(locale, { weekday: "long", month: "long", day: "numeric", ...year });
  return (
    <p class="day">
      <span>{words}</span>
    </p>
  );
}

function BubbleRow({ bubble, last, read, actions }: RowProps & { bubble: Bubble }, { locale, texts, files }: Words): JSX.Element {
  const { own, starts, ends, name, text, pending, change, edited, deleted, at, attachments } = bubble;
  const who = own ? texts.you : name || texts.agent;
  const wordless = !deleted && isBlank(text);
  const blank = wordless && !attachments[0];
  const waiting = pending ?? change;
  const failed = waiting?.state === "failed";
  const classes = ["message", own ? "own" : "theirs", starts && "starts", ends && "ends", failed && pending && "failed", (deleted || blank) && "deleted"];
  const time = new Date(at).toLocaleTimeString(locale, { hour: "numeric", minute: "2-digit" });
  return (
    <div class={classes.filter(Boolean).join(" ")} data-seq={bubble.seq || undefined}>
      {!own && starts && name && <span class="author">{name}</span>}
      <div class="line">
        {attachments[0] && (
          <div class="files" ref={(at) => files?.draw(at, attachments, who)}>
            {attachments.map(({ name }) => String(name))}
          </div>
        )}
        {(blank || !wordless) && (
          <div class="bubble" dir="auto">
            <span class="hidden">{who}: </span>
            {deleted ? texts.deleted : blank ? texts.blank : <Linked text={text} />}
          </div>
        )}
        {own && !waiting && !deleted && <Menu bubble={bubble} actions={actions} />}
      </div>
      {failed && <Failure message={waiting} actions={actions} />}
      {!failed && (ends || read || edited || change) && (
        <span class="meta">
          {edited && <span>{texts.edited}</span>}
          {!pending && <time dateTime={new Date(at).toISOString()}>{time}</time>}
          {own && (waiting || last || read) && <Progress message={waiting} read={read} />}
        </span>
      )}
    </div>
  );
}

/** What has become of an own message: undefined is stored and back. */
function Progress({ message, read }: { message: Outgoing | undefined; read: boolean }, { texts }: Words): JSX.Element {
  const done = !message || message.state === "acked";
  const words = !done ? (message.state === "sent" ? texts.sending : texts.kept) : read ? texts.read : texts.sent;
  return (
    <span class="progress">
      {done ? <CheckIcon /> : <ClockIcon />}
      {words}
    </span>
  );
}

function Failure({ message, actions }: { message: Outgoing; actions: MessageActions }, { texts }: Words): JSX.Element {
  const why = Object.entries(texts).find(([name]) => name === `refused_${message.code}`)?.[1] ?? "";
  const { id, target, text } = message.draft;
  const discard = (): void => actions.discard(id);
  const reuse = (): void => {
    actions.reuse(text);
    discard();
  };
  return (
    <span class="meta failure" role="alert">
      <span>{target ? texts.late : fill(texts.failed, why)}</span>
      {target > 0 && text && <q>{text}</q>}
      {target > 0 && text && <Action words={texts.reuse} act={reuse} />}
      {!target && <Action words={texts.retry} act={() => actions.retry(id)} />}
      <Action words={target ? texts.seen : texts.discard} act={discard} />
    </span>
  );
}

const Action = ({ words, act }: { words: string; act(): void }): JSX.Element => (
  <button type="button" onClick={act}>
    {words}
  </button>
);

/** Not below the edge. */
const intoSight = (at: Element | null): void => at?.scrollIntoView({ block: "nearest" });

/** What the visitor can do with an own message. */
class Menu extends Component<{ bubble: Bubble; actions: MessageActions }> {
  #open = false;

  #toggle(): void {
    this.#open = !this.#open;
    this.setState({});
  }

  override render({ bubble: { seq, text }, actions }: this["props"], _: unknown, { texts }: Words): JSX.Element {
    return (
      <>
        <button type="button" class="more" aria-label={texts.change} aria-expanded={this.#open} onClick={() => this.#toggle()}>
          ⋯
        </button>
        {this.#open && (
          <span class="meta menu" ref={intoSight}>
            <Action
              words={texts.edit}
              act={() => {
                this.#toggle();
                actions.edit(seq, text);
              }}
            />
            <Action words={texts.discard} act={() => actions.delete(seq)} />
          </span>
        )}
      </>
    );
  }
}

/** The words with web addresses as links. Text nodes only: nothing a stranger writes becomes markup. */
function Linked({ text }: { text: string }): JSX.Element {
  return (
    <>
      {partsOf(text).map((part, i) =>
        i % 2 === 0 ? (
          part
        ) : (
          <a href={part} target="_blank" rel="noopener noreferrer nofollow">
            {part}
          </a>
        ),
      )}
    </>
  );
}
