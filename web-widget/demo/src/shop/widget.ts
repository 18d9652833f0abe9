import { isObject, parseJson } from "@parley-chat/client";
import type { Methods, PageEntry } from "../../../widget/src/page";
import type { Face, OwnState } from "../device/reporter";
import type { Own, Row } from "../protocol";

declare global {
  interface Window {
    parley?: Methods;
  }
}

/** Sees the widget as the page around it can: through `window.parley`, and with its eyes. */
export class WidgetFace implements Face {
  readonly #parley: Methods;
  readonly #key: string;
  readonly #own = new Map<string, OwnState>();
  #older = { button: true, first: 0 };
  #complete = false;
  #scrollDown = false;

  constructor(parley: Methods, siteKey: string) {
    this.#parley = parley;
    this.#key = `parley.${siteKey}`;
  }

  /** Calls `look` as soon as something may have changed. */
  onNews(look: () => void): void {
    this.#parley.on("message", look);
    this.#parley.on("connection", look);
    const root = this.#root();
    if (root) new MutationObserver(look).observe(root, { childList: true, subtree: true });
  }

  user(): string {
    const person = parseJson(localStorage.getItem(this.#key) ?? "");
    return isObject(person) && typeof person["user"] === "string" ? person["user"] : "";
  }

  online(): boolean {
    return this.#parley.state().connection === "online";
  }

  canSend(): boolean {
    return true;
  }

  observe(): void {
    const { conversation } = this.#parley.state();
    for (const { seq, id, text, own, state } of this.#parley.entries()) {
      if (own && state !== "stored") this.#note({ conversation, id, seq, text }, state);
    }
  }

  views(): { conversation: string; complete: boolean; rows: Row[] }[] {
    const { conversation } = this.#parley.state();
    const rows: Row[] = [];
    for (const { seq, id, text, own, state } of this.#parley.entries()) {
      if (state === "stored") rows.push({ seq, id, text, own });
      if (own) this.#note({ conversation, id, seq, text }, state);
    }
    this.#loadOlder(rows[0]?.seq ?? 0);
    return [{ conversation, complete: this.#complete, rows }];
  }

  own(): OwnState[] {
    return [...this.#own.values()];
  }

  send(text: string): void {
    const id = this.#parley.send(text);
    this.#note({ conversation: this.#parley.state().conversation, id, seq: 0, text }, "queued");
  }

  #note(message: Own, state: PageEntry["state"]): void {
    const before = this.#own.get(message.id)?.state;
    if (before === "acked" || before === "history") return;
    const unseen = state === "stored" && before === undefined;
    this.#own.set(message.id, { ...message, state: unseen ? "history" : state === "failed" ? "refused" : message.seq > 0 ? "acked" : "sent" });
  }

  #root(): ShadowRoot | null | undefined {
    return document.querySelector("parley-widget")?.shadowRoot;
  }

  /** Shows the whole history, as a visitor would: by its button. Two looks must agree that there is no more. */
  #loadOlder(first: number): void {
    const list = this.#root()?.querySelector('[role="log"]');
    if (!list) return;
    const button = list.querySelector<HTMLButtonElement>("button.older");
    this.#complete = !button && !this.#older.button && this.#older.first === first;
    this.#older = { button: button !== null, first };
    if (button && !button.disabled && this.online()) {
      button.click();
      this.#scrollDown = true;
    }
    if (this.#complete && this.#scrollDown) {
      this.#scrollDown = false;
      list.scrollTop = list.scrollHeight;
    }
  }
}
