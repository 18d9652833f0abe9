import { Component, createRef, type JSX } from "preact";
import { ParleyError } from "@parley-chat/client";
import type { Files } from "@parley-chat/files";
import type { Chat, View } from "../chat";
import { fill } from "../texts";
import { Composer } from "./composer";
import { ChatIcon, CloseIcon } from "./icons";
import type { MessageActions } from "./message";
import { Messages } from "./messages";
import type { Words } from "./words";

/** An own message that is given other words. */
interface Editing {
  readonly seq: number;
  draft: string;
}

export interface AppProps {
  chat: Chat;
  /** What stands above the conversation, if not what we say there. */
  title: string | undefined;
  words: Words;
  /** Loads what deals with files. */
  loadFiles: LoadFiles | undefined;
}

export type LoadFiles = () => Promise<typeof import("../files")>;

/** The launcher and, when open, the panel. */
export class App extends Component<AppProps> {
  readonly #launcher = createRef<HTMLButtonElement>();
  readonly #field = createRef<HTMLTextAreaElement>();
  #wasOpen = false;
  #editing: Editing | undefined;
  #files: Files | undefined;
  #stop: (() => void) | undefined;

  override getChildContext(): Words {
    return { ...this.props.words, files: this.#files };
  }

  override componentDidMount(): void {
    const { chat } = this.props;
    this.#wasOpen = chat.view.open;
    this.#stop = chat.subscribe(() => this.setState({}));
  }

  override componentWillUnmount(): void {
    this.#stop?.();
  }

  override componentDidUpdate(): void {
    const { open } = this.props.chat.view;
    if (open !== this.#wasOpen) {
      (open ? this.#field : this.#launcher).current?.focus();
      if (open) this.#load();
    }
    this.#wasOpen = open;
  }

  /** Who never opens the chat never needs it; while it is not here, there are no files. */
  #load(): void {
    const { chat, words, loadFiles } = this.props;
    if (this.#files || !loadFiles) return;
    const changed = (): void => this.setState({});
    loadFiles().then(({ newFiles }) => {
      this.#files ??= newFiles(chat, words.locale, changed);
      changed();
    }, changed);
  }

  #onKeyDown(event: KeyboardEvent): void {
    if (event.key !== "Escape" || event.isComposing) return;
    event.stopPropagation();
    if (this.#editing) this.#edit();
    else this.props.chat.show(false);
  }

  #edit(editing?: Editing): void {
    this.#editing = editing;
    this.setState({}, () => this.#field.current?.focus());
  }

  /** Puts words behind what was begun. */
  #reuse(words: string): void {
    const { identity } = this.props.chat;
    identity.draft = [identity.draft.trim(), words].filter(Boolean).join("\n");
    this.#edit(this.#editing);
  }

  /** Takes what was written; false means that it is too long. */
  #send(text: string): boolean {
    const { chat } = this.props;
    try {
      if (this.#editing) chat.conversation.edit(this.#editing.seq, text);
      else {
        chat.send(text, this.#files?.attached);
        this.#files?.taken();
      }
    } catch (error) {
      if (error instanceof ParleyError) return false;
      throw error;
    }
    this.#editing = undefined;
    return true;
  }

  override render({ chat, words, title = words.texts.title }: AppProps): JSX.Element {
    const { view } = chat;
    return (
      <div class={view.open ? "root open" : "root"} onKeyDown={(event) => this.#onKeyDown(event)}>
        {view.open && (
          <Panel view={view} chat={chat} title={title} edit={(seq, draft) => this.#edit({ seq, draft })} reuse={(words) => this.#reuse(words)}>
            <Composer field={this.#field} kept={this.#editing ?? chat.identity} send={(text) => this.#send(text)} cancel={this.#editing && (() => this.#edit())} files={this.#editing ? undefined : this.#files} />
          </Panel>
        )}
        <Launcher view={view} button={this.#launcher} toggle={() => chat.show(!view.open)} />
      </div>
    );
  }
}

function Launcher({ view, button, toggle }: { view: View; button: { current: HTMLButtonElement | null }; toggle(): void }, { texts }: Words): JSX.Element {
  const label = view.open ? texts.close : view.unread > 0 ? `${texts.open}, ${view.unread === 1 ? texts.oneUnread : fill(texts.unread, view.unread)}` : texts.open;
  return (
    <button ref={button} type="button" class="launcher" aria-label={label} aria-expanded={view.open} onClick={toggle}>
      {view.open ? <CloseIcon /> : <ChatIcon />}
      {!view.open && view.unread > 0 && (
        <span class="badge" aria-hidden="true">
          {view.unread > 99 ? "99+" : view.unread}
        </span>
      )}
    </button>
  );
}

function Panel({ view, chat, title, edit, reuse, children }: Pick<MessageActions, "edit" | "reuse"> & { view: View; chat: Chat; title: string; children: JSX.Element }, { files }: Words): JSX.Element {
  const { conversation } = chat;
  return (
    <section class="panel" role="dialog" aria-label={title} ref={files?.target ?? null}>
      <Header view={view} title={title} close={() => chat.show(false)} />
      <Banner view={view} takeOver={() => chat.client.takeOver()} retry={() => chat.client.networkChanged()} />
      <Messages
        view={view}
        actions={{ retry: (id) => chat.retry(id), discard: (id) => conversation.discard(id), edit, reuse, delete: (seq) => conversation.delete(seq) }}
        loadOlder={() => conversation.loadOlder()}
        seen={() => conversation.read()}
      />
      {children}
    </section>
  );
}

function Header({ view, title, close }: { view: View; title: string; close(): void }, { texts }: Words): JSX.Element {
  const name = view.assignee && (view.assignee.name || texts.agent);
  return (
    <header class="header">
      <span class={name ? "avatar" : "avatar plain"} aria-hidden="true">
        {name ? [...name][0]?.toUpperCase() : <ChatIcon />}
      </span>
      <div class="who">
        <h1>{name ?? title}</h1>
        <p>{name ? title : view.waiting ? texts.waiting : texts.subtitle}</p>
      </div>
      <button type="button" class="quiet" aria-label={texts.close} onClick={close}>
        <CloseIcon />
      </button>
    </header>
  );
}

/** How the connection is, when that matters. */
function Banner({ view, takeOver, retry }: { view: View; takeOver(): void; retry(): void }, { texts }: Words): JSX.Element {
  const words = { connecting: texts.connecting, offline: texts.offline, refused: fill(texts.notHere, location.origin), replaced: texts.replaced, "signed-out": texts.unavailable, online: "", idle: "" }[view.connection];
  return (
    <div class={`banner ${view.connection}`} role="status">
      {words && <span>{words}</span>}
      {(view.connection === "replaced" || view.connection === "offline") && (
        <button type="button" onClick={view.connection === "offline" ? retry : takeOver}>
          {view.connection === "offline" ? texts.retry : texts.takeOver}
        </button>
      )}
    </div>
  );
}
