// Messages that are given other words or taken back, in a real browser against
// the real server; a device that was away shows what is right.

import type { Browser, Locator } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AgentDevice, openBrowser, VisitorDevice, type Device } from "./pages";
import { Server } from "./server";
import { Shop } from "./shop";

const shop = new Shop();
let server: Server;
let browser: Browser;

beforeAll(async () => {
  await shop.open();
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  await server?.remove();
  await shop.close();
});

async function start(settings: Record<string, string> = {}): Promise<void> {
  await server?.remove();
  server = await Server.start(shop.origin, settings);
  shop.parley = server.url;
}

const message = ({ page }: Device, text: string): Locator => page.locator(".message", { hasText: text });

/** Chooses something from the menu of a message. */
async function choose(device: Device, text: string, choice: string): Promise<void> {
  await message(device, text).hover();
  await message(device, text).getByRole("button", { name: "Change this message" }).click();
  await device.page.getByText(choice, { exact: true }).click();
}

const texts = async (device: Device): Promise<string[]> => (await device.shown()).map(({ text }) => text);
const gone = "This message was deleted";

test("edits and deletions are the same on every device, also on one that was away", async () => {
  await start();
  const visitor = await VisitorDevice.open(browser, shop.origin);
  await visitor.say("say one");
  await visitor.say("say two");
  const desk = await AgentDevice.open(browser, server.url);
  const tablet = await AgentDevice.open(browser, server.url);
  for (const agent of [desk, tablet]) await agent.choose();
  await desk.claim();
  await desk.say("three");
  await message(tablet, "three").waitFor();
  const away = tablet.page.url();
  await tablet.page.goto("about:blank");

  await choose(visitor, "say one", "Edit");
  await visitor.page.getByText("Editing your message").waitFor();
  await visitor.say("ONE 你好");
  await message(visitor, "ONE 你好").getByText("edited").waitFor();
  await choose(visitor, "say two", "Delete");
  await message(visitor, gone).waitFor();
  await choose(desk, "three", "Edit");
  await desk.say("THREE");
  await message(desk, "THREE").getByText("edited").waitFor();

  await tablet.page.goto(away);
  const fresh = await AgentDevice.open(browser, server.url);
  await fresh.choose();
  for (const device of [visitor, desk, tablet, fresh]) await expect.poll(() => texts(device)).toEqual(["ONE 你好", gone, "THREE"]);
  for (const device of [desk, tablet, fresh]) expect(await device.page.getByText("edited").count()).toBe(2);

  // Also what is here already, and after the visitor's page is loaded anew.
  await choose(visitor, "ONE 你好", "Delete");
  await visitor.reload();
  for (const device of [visitor, desk, tablet, fresh]) await expect.poll(() => texts(device)).toEqual([gone, gone, "THREE"]);
  const conversation = String(await visitor.page.evaluate("window.parley.state().conversation"));
  const log = JSON.stringify(await server.log(conversation));
  // With a space in them, which no identifier has: three letters in a row some of the random ones do have.
  expect([log.includes("say one"), log.includes("say two"), log.includes("你好")]).toEqual([false, false, false]);
});

test("what comes too late is refused, and said", async () => {
  await start({ PARLEY_EDIT_VISITOR: "1s" });
  const visitor = await VisitorDevice.open(browser, shop.origin);
  await visitor.say("one");
  await visitor.page.getByText("Sent", { exact: true }).waitFor();
  await visitor.page.waitForTimeout(1_500);
  await choose(visitor, "one", "Delete");
  await visitor.page.getByText("This message can no longer be changed").waitFor();
  expect(await texts(visitor)).toEqual(["one"]);
  await visitor.page.getByRole("button", { name: "OK" }).click();
  await choose(visitor, "one", "Edit");
  await visitor.say("two");
  await visitor.page.getByText("This message can no longer be changed").waitFor();
  expect(await texts(visitor)).toEqual(["one"]);
  await visitor.page.getByRole("button", { name: "Use as a new message" }).click();
  await visitor.page.getByRole("button", { name: "Send", exact: true }).click();
  await expect.poll(() => texts(visitor)).toEqual(["one", "two"]);
});
