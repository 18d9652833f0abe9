import { render } from "preact";
import type { Chat } from "./chat";
import { App, type LoadFiles } from "./view/app";
import css from "./style.css?inline";
import type { Words } from "./view/words";

export interface Look {
  readonly title?: string | undefined;
  /** A CSS colour for what stands out; empty for ours. */
  readonly accent: string;
}

/** Puts the widget on the page: one element, with everything inside its shadow. Answers how to have it speak. */
export function mount(chat: Chat, { title, accent }: Look, loadFiles?: LoadFiles): { host: HTMLElement; speak(words: Words): void } {
  const host = document.createElement("parley-widget");
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  shadow.adoptedStyleSheets = [sheet];
  if (accent && CSS.supports("color", accent)) host.style.setProperty("--parley-accent", accent);
  document.body.append(host);
  const speak = (words: Words): void => {
    host.lang = words.locale;
    render(<App chat={chat} title={title} words={words} loadFiles={loadFiles} />, shadow);
  };
  return { host, speak };
}
