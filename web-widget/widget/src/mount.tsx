import { render } from "preact";
import type { Chat } from "./chat";
import { App } from "./view/app";
import css from "./style.css?inline";
import type { Words } from "./view/words";

export interface Look extends Words {
  readonly title: string;
  /** A CSS colour for what stands out; empty for ours. */
  readonly accent: string;
}

/** Puts the widget on the page: one element, with everything inside its shadow. */
export function mount(chat: Chat, { title, accent, ...words }: Look): HTMLElement {
  const host = document.createElement("parley-widget");
  host.lang = words.locale;
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  shadow.adoptedStyleSheets = [sheet];
  if (accent && CSS.supports("color", accent)) host.style.setProperty("--parley-accent", accent);
  document.body.append(host);
  render(<App chat={chat} title={title} words={words} />, shadow);
  return host;
}
