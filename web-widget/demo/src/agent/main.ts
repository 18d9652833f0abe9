// An agent's device: the desk of the console, signed in.

import { isObject, parseJson, webStorage, type SignIn } from "@parley-chat/client";
import { createApp, defineComponent, h } from "vue";
import DeskPage from "../../../console/src/components/DeskPage.vue";
import "../../../console/src/style.css";
import { provideWords } from "../../../console/src/words";
import { loadConfig, type Config } from "../device/config";
import { keepFocusPolite } from "../device/focus";
import { Reporter } from "../device/reporter";
import { DeskFace } from "./desk";
import { WatchedClient } from "./watched";

const local = webStorage(() => localStorage);
const key = "parley.demo";
const openKey = `${key}.open`;

keepFocusPolite();
const config = await loadConfig();
const client = new WatchedClient({
  server: location.origin,
  signIn: howToSignIn(config),
  storage: local,
  namespace: `${key}.${config.site}.${config.email}`,
});
client.on("session", ({ user, refreshToken }) => local.set(key, JSON.stringify({ user, refreshToken })));
client.on("state", (state) => state === "signed-out" && startOver());

let drawn = false;
client.on("session", () => {
  if (drawn) return;
  drawn = true;
  draw();
});
client.start();

/** A device that was here before goes on as the same one. */
function howToSignIn({ site, email, password }: Config): SignIn {
  const kept = parseJson(local.get(key) ?? "");
  if (isObject(kept) && typeof kept["refreshToken"] === "string") return { as: "remembered", refreshToken: kept["refreshToken"] };
  return { as: "agent", site, email, password };
}

/** The server does not know this device any more, or the agent wants to leave: a new device of the same agent. */
function startOver(): void {
  if (local.get(key) === undefined) return; // the password was refused: trying again would not help
  local.remove(key);
  location.reload();
}

function draw(): void {
  const desk = defineComponent(() => {
    provideWords();
    return () => h(DeskPage, { client, onSignOut: startOver });
  });
  createApp(desk).mount("#app");
  const reporter = new Reporter(new DeskFace(client), config.pages);
  client.watch(() => reporter.look());
  client.on("state", () => reporter.look());
  if (config.device === "tablet") followAlong();
  else keepOpen();
  reporter.start();
}

/** Opens on this device what the agent claims on the other one. */
function followAlong(): void {
  const known = new Set<string>();
  client.on("conversations", (conversations) => {
    const me = client.session?.user;
    const mine = [...conversations.values()].filter(({ status, assignee }) => status === "open" && assignee?.id === me);
    const news = mine.filter(({ conversation }) => !known.has(conversation)).sort((a, b) => a.updatedAt - b.updatedAt);
    for (const { conversation } of news) known.add(conversation);
    const newest = news.at(-1);
    if (newest) location.hash = newest.conversation;
  });
}

/** Opens again after a reload what was open before. */
function keepOpen(): void {
  const before = local.get(openKey);
  const stop = client.on("conversations", (conversations) => {
    stop();
    if (before && !location.hash && conversations.has(before)) location.hash = before;
  });
  addEventListener("hashchange", () => local.set(openKey, location.hash.slice(1)));
}
