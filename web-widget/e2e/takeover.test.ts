// One device in two tabs, as a duplicated tab is: the newer one works, the older
// one stops and says so, and a person decides.

import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { AgentDevice, eventually, VisitorDevice } from "./pages";
import { newScene } from "./scene";

const scene = newScene();

/** A tab with a copy of the session storage, and so with the same device. */
async function duplicate(page: Page): Promise<Page> {
  const [tab] = await Promise.all([page.context().waitForEvent("page"), page.evaluate("void window.open(location.href)")]);
  await tab.waitForLoadState();
  return tab;
}

/** Counts the sockets that a page opens from now on. */
function sockets(page: Page): () => number {
  let opened = 0;
  page.on("websocket", () => opened++);
  return () => opened;
}

const connection = (page: Page): Promise<unknown> => page.evaluate("window.parley.state().connection");
const becomes = (page: Page, state: string): Promise<void> =>
  eventually(async () => {
    const now = String(await connection(page));
    return now === state ? "" : now;
  });

test("the widget in the older tab stops, and goes on when somebody wants it", async () => {
  const { page: older } = await VisitorDevice.open(scene.browser, scene.shop.origin);
  await becomes(older, "online");
  await older.evaluate("window.parley.send('hello')");
  await older.getByText("Sent", { exact: true }).waitFor();
  const attempts = sockets(older);
  const newer = await duplicate(older);
  await becomes(newer, "online");
  await becomes(older, "replaced");
  await older.getByText("This chat is open in another window").waitFor();

  // What is written in the older one goes out as soon as it has the connection again.
  await older.evaluate("window.parley.send('from the older tab')");
  await older.waitForTimeout(3_000);
  expect([await connection(older), await connection(newer), attempts()]).toEqual(["replaced", "online", 0]);
  await older.getByRole("button", { name: "Continue here" }).click();
  await becomes(older, "online");
  await becomes(newer, "replaced");
  await newer.getByRole("button", { name: "Continue here" }).waitFor();
  await eventually(async () => ((await older.evaluate("window.parley.state().pending")) === 0 ? "" : "not sent"));
  const shown = await older.evaluate("window.parley.entries().map(({ text }) => text).join()");
  expect(shown).toBe("hello,from the older tab");
  expect(attempts()).toBe(1);
});

test("the agent page in the older tab stops, and goes on when somebody wants it", async () => {
  const { page: older } = await AgentDevice.open(scene.browser, scene.server.url);
  await older.locator(".dot.online").waitFor();
  const attempts = sockets(older);
  const newer = await duplicate(older);
  await newer.locator(".dot.online").waitFor();
  await older.getByText("This device is in use in another window").waitFor();
  await older.waitForTimeout(3_000);
  await newer.locator(".dot.online").waitFor();
  expect(attempts()).toBe(0);
  await older.getByRole("button", { name: "Continue in this window" }).click();
  await older.locator(".dot.online").waitFor();
  await newer.getByText("This device is in use in another window").waitFor();
});
