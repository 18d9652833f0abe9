// The embed: <script async src="https://…/widget.js" data-site="KEY"></script>

import { webStorage } from "@parley-chat/client";
import { Chat } from "./chat";
import { Identity } from "./identity";
import { mount } from "./mount";
import { pageMethods, type Methods } from "./page";
import { chooseLocale } from "./texts";

type Parley = Methods & ((method: keyof Methods, ...values: unknown[]) => unknown);

declare global {
  interface Window {
    parley?: Parley;
  }
}

const script = document.currentScript;

function start({ src, dataset }: HTMLScriptElement): void {
  const site = dataset["site"];
  if (!site) return console.error("parley: the script has no data-site");
  const { locale, texts } = chooseLocale([...(dataset["locale"] ? [dataset["locale"]] : []), ...navigator.languages]);
  const local = webStorage(() => localStorage);
  const identity = new Identity(local, webStorage(() => sessionStorage), site);
  const server = dataset["server"]?.replace(/\/+$/, "") ?? new URL(src).origin;
  const name = dataset["name"];
  const chat = new Chat({ server, site, identity, storage: local, ...(name && { name }) });
  mount(chat, { locale, texts, title: dataset["title"] ?? texts.title, accent: dataset["accent"] ?? "" });
  followNetwork(chat);
  window.parley = callable(pageMethods(chat));
  if (dataset["open"] !== undefined) chat.show(true);
}

/** Every sign that the network may be back, or that somebody looks again. */
function followNetwork({ client }: Chat): void {
  const changed = (): void => {
    if (document.visibilityState === "visible") client.networkChanged();
  };
  addEventListener("online", changed);
  addEventListener("pageshow", changed);
  document.addEventListener("visibilitychange", changed);
}

function callable(methods: Methods): Parley {
  const call = (method: keyof Methods, ...values: unknown[]): unknown => Reflect.apply(methods[method], undefined, values);
  return Object.assign(call, methods);
}

// Twice on a page is once.
if (script instanceof HTMLScriptElement && !window.parley) {
  if (document.body) start(script);
  else addEventListener("DOMContentLoaded", () => start(script));
}
