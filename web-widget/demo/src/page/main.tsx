// The demo page.

import { parseJson, webStorage } from "@parley-chat/client";
import { render } from "preact";
import type { Language } from "../protocol";
import { App } from "./app";
import { loadDevices } from "./control";
import { decodePicture, type Picture } from "./picture";
import { Relay } from "./relay";
import { chooseLanguage } from "./texts";

const local = webStorage(() => localStorage);
const key = "parley.demo.language";

const devices = await loadDevices();
const run = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const relay = new Relay(run, draw);
let language = chooseLanguage(local.get(key) ?? "", navigator.languages);
let picture: Picture | undefined; // until then there is nothing to say
let stopped = false;

function speak(chosen: Language): void {
  language = chosen;
  local.set(key, chosen);
  draw();
}

function draw(): void {
  if (picture) render(<App run={run} devices={devices} relay={relay} picture={picture} stopped={stopped} language={language} speak={speak} />, document.body);
}

const events = new EventSource("/demo/events");
events.onmessage = ({ data }) => {
  if (stopped) location.reload(); // it is another run of the demo, which knows nothing of us
  picture = decodePicture(parseJson(String(data)));
  draw();
};
events.onerror = () => {
  stopped = true; // it connects again by itself
  draw();
};

await relay.start();
