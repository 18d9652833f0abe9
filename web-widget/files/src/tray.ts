import { maxAttachments, type Upload } from "@parley-chat/client/uploads";
import { el, icon, iconButton, shapeOf, shapes } from "./dom";
import { drawSmall } from "./paint";
import { sizeOf, type Texts } from "./texts";

const nearEnd = 80;

export interface TrayOptions {
  readonly texts: Texts;
  readonly locale: string;
  online(): boolean;
  remove(upload: Upload): void;
  /** The message is not to go by itself any more. */
  release(): void;
}

/** One line of the tray. */
interface Line {
  readonly element: HTMLElement;
  readonly status: HTMLElement;
  readonly bar: HTMLElement;
  told: string;
  spoken: string;
}

/** The list of the files that go with the message that is being written. */
export class Tray {
  readonly element = el("div", "tray", { hidden: "" });
  readonly #options: TrayOptions;
  readonly #list: HTMLElement;
  readonly #words = el("p", "tray-words", { hidden: "" });
  readonly #spoken = el("p", "hidden", { role: "status" });
  readonly #lines = new Map<Upload, Line>();
  #clear: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TrayOptions) {
    this.#options = options;
    this.#list = el("ul", "", { "aria-label": options.texts.tray });
    this.element.append(this.#list, this.#words, this.#spoken);
  }

  /** Shows how far they are. `holding`: a message waits for them. `stuck`: it cannot, since some have failed. */
  show(uploads: readonly Upload[], holding: boolean, stuck: boolean): void {
    const stay = atEnd(this.element);
    for (const [upload, line] of this.#lines) if (!uploads.includes(upload)) this.#leave(upload, line);
    for (const upload of uploads) this.#tell(upload, this.#lines.get(upload) ?? this.#enter(upload));
    this.element.hidden = uploads.length === 0 && this.#words.hidden;
    if (holding) this.#say(this.#options.texts.holding, true);
    else if (stuck) this.#say(this.#options.texts.removeFirst);
    else if (!this.#clear) this.#say("");
    stay?.();
  }

  /** So many more were chosen than can go. */
  tooMany(n: number): void {
    if (n === 0) return;
    this.#say(this.#options.texts.tooMany(maxAttachments));
    clearTimeout(this.#clear);
    this.#clear = setTimeout(() => {
      this.#clear = undefined;
      this.#say("");
    }, 10_000);
  }

  stop(): void {
    clearTimeout(this.#clear);
  }

  #say(words: string, held = false): void {
    this.#words.hidden = words === "";
    if (this.#words.dataset["words"] === words) return;
    this.#words.dataset["words"] = words;
    this.#words.setAttribute("role", held ? "status" : "alert");
    const release = el("button", "", { type: "button" }, this.#options.texts.hold);
    release.addEventListener("click", () => this.#options.release());
    this.#words.replaceChildren(el("span", "", {}, words), ...(held ? [release] : []));
  }

  #enter(upload: Upload): Line {
    const { source } = upload;
    const { texts } = this.#options;
    const type = source instanceof File ? source.type : "";
    const face = el("span", "tray-face", {}, icon(shapeOf(type)));
    const status = el("span", "tray-status");
    const bar = el("span", "tray-bar", { role: "progressbar", "aria-label": source.name, "aria-valuemin": "0", "aria-valuemax": "100" });
    const remove = iconButton("tray-remove", texts.remove(source.name), shapes.cross, () => {
      this.#focusBeside(upload);
      this.#options.remove(upload);
    });
    const element = el("li", "", {}, face, el("span", "tray-text", {}, el("span", "tray-name", { title: source.name, dir: "auto" }, source.name), status, bar), remove);
    this.#list.append(element);
    if (source instanceof File) void drawSmall(face, source);
    const line = { element, status, bar, told: "", spoken: "" };
    this.#lines.set(upload, line);
    return line;
  }

  #leave(upload: Upload, { element }: Line): void {
    element.remove();
    this.#lines.delete(upload);
  }

  /** The button that was pressed goes: the next one gets the focus, else what the message is written in. */
  #focusBeside(upload: Upload): void {
    const { element } = this.#lines.get(upload) ?? {};
    const next = element?.nextElementSibling ?? element?.previousElementSibling;
    const to = next?.querySelector("button") ?? this.element.closest("form")?.querySelector("textarea");
    to?.focus();
  }

  #tell(upload: Upload, line: Line): void {
    const { state, source, sent } = upload;
    const words = this.#wordsOf(upload);
    if (line.told !== words) line.status.textContent = line.told = words;
    line.element.classList.toggle("failed", state === "failed");
    line.element.classList.toggle("done", state === "done");
    line.bar.hidden = state === "failed" || state === "done";
    const percent = Math.floor((100 * sent) / (source.size || 1));
    line.bar.style.setProperty("--done", `${percent}%`);
    line.bar.setAttribute("aria-valuenow", String(percent));
    line.bar.classList.toggle("busy", state === "checking");
    const spoken = state === "failed" || state === "done" ? `${source.name}: ${words}` : "";
    if (spoken && line.spoken !== spoken) line.spoken = this.#spoken.textContent = spoken;
  }

  #wordsOf({ state, source, sent, stalled, problem }: Upload): string {
    const { texts, locale, online } = this.#options;
    const size = sizeOf(source.size, locale);
    if (problem) return texts.problems[problem];
    if (state === "done") return texts.ready(size);
    if (state === "waiting") return `${size} · ${texts.waiting}`;
    if (!online()) return texts.offline;
    if (stalled) return texts.stalled;
    return state === "checking" ? texts.checking : texts.sending(size, Math.floor((100 * sent) / (source.size || 1)));
  }
}

/** The list of messages beside the tray has less room now: who has seen its end still does. */
function atEnd(tray: HTMLElement): (() => void) | undefined {
  const list = tray.closest("form")?.parentElement?.querySelector("[role=log]");
  if (!list || list.scrollHeight - list.scrollTop - list.clientHeight > nearEnd) return undefined;
  return () => void (list.scrollTop = list.scrollHeight);
}
