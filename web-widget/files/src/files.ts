import type { Client, Listed } from "@parley-chat/client";
import { decodeAttached, Uploads, type Attached } from "@parley-chat/client/uploads";
import { drawAttached, type Reader } from "./attached";
import { el, icon, shapes } from "./dom";
import { follow } from "./drop";
import css from "./style.css?inline";
import { textsOf, type Texts } from "./texts";
import { Tray } from "./tray";

/** Where files are sent from and shown. */
export interface Place {
  readonly client: Pick<Client, "call" | "on" | "state">;
  /** The server's origin, empty if it is the page's own. */
  readonly server: string;
  readonly locale: string;
  /** The conversation that what is gathered is meant for. */
  conversation(): string;
  /** What is gathered has changed. */
  changed(): void;
}

/** The files of one place where messages are written, and of the messages beside it. */
export class Files {
  readonly #place: Place;
  readonly #texts: Texts;
  readonly #uploads: Uploads;
  readonly #tray: Tray;
  readonly #button: HTMLElement;
  readonly #reader: Reader;
  #again: (() => void) | undefined;
  #unfollow = (): void => {};

  constructor(place: Place) {
    const { client, server, locale } = place;
    this.#place = place;
    this.#texts = textsOf(locale);
    this.#reader = { client, server, locale, texts: this.#texts };
    this.#uploads = new Uploads(client, () => place.conversation(), () => this.#changed());
    this.#tray = new Tray({
      texts: this.#texts,
      locale,
      online: () => client.state === "online",
      remove: (upload) => this.#uploads.remove(upload),
      release: () => this.#hold(undefined),
    });
    this.#button = this.#makeButton();
  }

  /** How many files are gathered. */
  get count(): number {
    return this.#uploads.list.length;
  }

  /** Fills the place of the button. Functions of their own, as frameworks take them for references; null is nothing. */
  readonly button = (at: unknown): void => fill(at, this.#button);
  /** Fills the place of the list of what is gathered. */
  readonly tray = (at: unknown): void => fill(at, this.#tray.element);
  /** Takes what is dropped on this element, or pasted in it. */
  readonly target = (at: unknown): void => {
    this.#unfollow();
    this.#unfollow = at instanceof HTMLElement ? follow(at, this.#texts.drop, (files) => this.add(files)) : () => {};
  };

  /** Shows the files of a message in an element that has nothing else in it. `who` has sent them. */
  draw(at: unknown, list: readonly Listed[], who: string): void {
    if (!(at instanceof HTMLElement)) return;
    dress(at);
    at.setAttribute("role", "group");
    at.setAttribute("aria-label", who);
    drawAttached(at, list.flatMap(readable), this.#reader);
  }

  add(files: readonly File[]): void {
    this.#tray.tooMany(this.#uploads.add(files));
  }

  /** Whether a message has to wait for its files. Then `again` is called once they are there. */
  hold(again: () => void): boolean {
    if (this.#uploads.ready()) return false;
    this.#hold(again);
    return true;
  }

  /** What the message lists. */
  get attached(): readonly Attached[] {
    return this.#uploads.attached;
  }

  /** The message has them now: what is gathered is empty. */
  taken(): void {
    this.#again = undefined;
    this.#uploads.clear();
  }

  /** Nobody writes here any more. */
  stop(): void {
    this.#unfollow();
    this.#uploads.stop();
    this.#tray.stop();
  }

  #hold(again: (() => void) | undefined): void {
    const { list } = this.#uploads;
    const failed = list.some(({ state }) => state === "failed");
    this.#again = failed ? undefined : again;
    this.#tray.show(list, this.#again !== undefined, failed && again !== undefined);
  }

  #changed(): void {
    const again = this.#again;
    this.#hold(again);
    this.#place.changed();
    if (!again || !this.#uploads.list.every(({ state }) => state === "done")) return;
    this.#again = undefined;
    again();
  }

  /** A label around the field: the browser itself opens the choice, by pointer and by key. */
  #makeButton(): HTMLElement {
    const input = el("input", "hidden", { type: "file", multiple: "", "aria-label": this.#texts.attach });
    input.addEventListener("change", () => {
      this.add([...(input.files ?? [])]);
      input.value = ""; // the same file can be chosen again
    });
    return el("label", "attach", { title: this.#texts.attach }, input, icon(shapes.clip));
  }
}

/** A file of a message, unless what came is none. */
function readable(listed: Listed): Attached[] {
  try {
    return [decodeAttached(listed)];
  } catch {
    return [];
  }
}

function fill(at: unknown, element: HTMLElement): void {
  if (!(at instanceof HTMLElement)) return;
  dress(at);
  at.replaceChildren(element);
}

const dressed = new WeakSet<Node>();

/** Gives the page, or the shadow that the element is in, our style. */
function dress(at: HTMLElement): void {
  const root = at.getRootNode();
  if (dressed.has(root) || !(root instanceof Document || root instanceof ShadowRoot)) return;
  dressed.add(root);
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
}
