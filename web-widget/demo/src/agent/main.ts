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
import { followAlong, keepOpen } from "./open";
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
  void draw();
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

async function draw(): Promise<void> {
  const desk = defineComponent(() => {
    provideWords();
    return () => h(DeskPage, { client, onSignOut: startOver });
  });
  createApp(desk).mount("#app");
  const reporter = new Reporter(new DeskFace(client), config.pages);
  client.watch(() => reporter.look());
  client.on("state", () => reporter.look());
  await keepOpen(client, local, openKey);
  if (config.device === "tablet") followAlong(client);
  reporter.start(); // before, it would tell of a screen that is about to change
}
