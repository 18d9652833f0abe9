// The embed: <script async src="https://…/widget.js" data-site="KEY"></script>

import { parseJson, webStorage, type Fallback } from "@parley-chat/client";
import { Chat } from "./chat";
import { Identity } from "./identity";
import { mount } from "./mount";
import { pageMethods, type Methods } from "./page";
import { chooseLocale, decodeTexts, en, type Texts } from "./texts";

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
  const local = webStorage(() => localStorage);
  const identity = new Identity(local, webStorage(() => sessionStorage), site);
  const server = dataset["server"]?.replace(/\/+$/, "") ?? new URL(src).origin;
  const name = dataset["name"];
  const chat = new Chat({ server, site, identity, storage: local, fallback: fallbackOf(src, server), ...(name && { name }) });
  const { speak } = mount(chat, { title: dataset["title"], accent: dataset["accent"] ?? "" }, () => beside(src, "files.js"));
  speak({ locale: "en", texts: en });
  followNetwork(chat);
  window.parley = callable(pageMethods(chat));
  const open = (): void => {
    if (dataset["open"] !== undefined) chat.show(true);
  };
  const locale = chooseLocale([...(dataset["locale"] ? [dataset["locale"]] : []), ...navigator.languages]);
  if (/^en/i.test(locale)) return open();
  // Until its words are here there is only the launcher, which has none; without them it speaks English.
  void textsFrom(server).then((texts) => {
    if (texts) speak({ locale, texts });
    open();
  });
}

/** The other language. A fetch, since pages that let their visitors talk to the server allow that. */
const textsFrom = (server: string): Promise<Texts | undefined> =>
  fetch(`${server}/widget-zh.json`, { signal: AbortSignal.timeout(5000) })
    .then(async (answer) => (answer.ok ? decodeTexts(parseJson(await answer.text())) : undefined))
    .catch(() => undefined);

/** The other way to the server. Its script is loaded when a first connection has ended. */
function fallbackOf(src: string, server: string): Fallback {
  let next: Fallback | undefined;
  return (ended) => beside<typeof import("./tunnel")>(src, "tunnel.js").then((tunnel) => (next ??= tunnel.newFallback(server))(ended));
}

/** A script that lies beside ours and is loaded when it is needed. */
const beside = <T,>(src: string, name: string): Promise<T> => import(/* @vite-ignore */ new URL(name, src).href);

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
