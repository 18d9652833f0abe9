// Verbs for tests: agents at their pages, all of them in one fake world.

import { afterEach, beforeEach, vi } from "vitest";
import { createApp, nextTick, type App as VueApp } from "vue";
import { makeDraft } from "../../client/src/draft";
import { FakeServer } from "../../client/test/fake/server";
import App from "../src/App.vue";

/** What the pages of a test talk to. */
export let server: FakeServer;
let apps: Array<{ app: VueApp; root: HTMLElement }> = [];

/** Opens the page. Two pages of a test are two windows of one browser. */
export function page(): HTMLElement {
  const root = document.createElement("div");
  document.body.append(root);
  const app = createApp(App, { network: { webSocket: server.socket, fetch: server.fetch } });
  app.mount(root);
  apps.push({ app, root });
  return root;
}

export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await nextTick();
}

export function find<T extends HTMLElement>(root: HTMLElement, selector: string, type: new () => T): T {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`no ${selector} in ${root.textContent}`);
  return found;
}

export function press(root: HTMLElement, label: string): void {
  const button = [...root.querySelectorAll("button")].find((b) => b.textContent?.includes(label));
  if (!button) throw new Error(`no button ${label} in ${root.textContent}`);
  button.click();
}

/** Chooses a conversation. The test's DOM changes the address without telling. */
export function choose(root: HTMLElement, name: string): void {
  press(root, name);
  dispatchEvent(new Event("hashchange"));
}

export function fill(root: HTMLElement, selector: string, value: string): void {
  const input = root.querySelector(selector);
  if (!(input instanceof HTMLInputElement || input instanceof HTMLTextAreaElement)) throw new Error(`no ${selector}`);
  input.value = value;
  input.dispatchEvent(new Event("input"));
}

export async function signIn(root: HTMLElement, name = "li", password = "secret"): Promise<void> {
  fill(root, "[name=site]", server.site);
  fill(root, "[name=email]", `${name}@example.org`);
  fill(root, "[name=password]", password);
  find(root, "form", HTMLFormElement).dispatchEvent(new Event("submit"));
  await pass(200);
}

export async function write(root: HTMLElement, text: string, key: KeyboardEventInit = {}): Promise<void> {
  fill(root, "textarea", text);
  await nextTick();
  find(root, "textarea", HTMLTextAreaElement).dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true, ...key }));
  await pass(200);
}

export const visitor = { user: "vis_ann", device: "dev_v", role: "visitor", name: "Ann" };
export const ask = (id: string, text: string): unknown => server.store.record(id, visitor, makeDraft(`msg_${id}_${text}`, "text", text));
/** What a bubble says to who sees it. */
export const saidIn = (bubble: Element | null): string => [...(bubble?.childNodes ?? [])].flatMap((node) => (node instanceof Element && node.matches(".hidden") ? [] : (node.textContent ?? ""))).join("");
export const bubbles = (root: HTMLElement): string[] => [...root.querySelectorAll(".bubble")].map(saidIn);
export const badges = (root: HTMLElement): string[] => [...root.querySelectorAll(".badge")].map((b) => b.textContent ?? "");
export const lists = (root: HTMLElement): string[] => [...root.querySelectorAll(".lists section")].map((s) => [...s.querySelectorAll(".who")].map((w) => w.textContent).join(","));

/** Gives every test of a file a world of its own. */
export function freshWorld(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    server = new FakeServer();
  });

  afterEach(() => {
    for (const { app, root } of apps) {
      app.unmount();
      root.remove();
    }
    apps = [];
    location.hash = "";
    sessionStorage.clear();
    localStorage.clear();
    vi.useRealTimers();
  });
}

/** Closes the page that was opened last, as a reload does. */
export function closeLast(): void {
  const { app, root } = apps.pop() ?? {};
  app?.unmount();
  root?.remove();
}
