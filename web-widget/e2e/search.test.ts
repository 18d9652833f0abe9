// An agent searches what visitors have written, in Chinese and in English, and
// reads on from there; against the real server and its index.

import type { Locator } from "playwright-core";
import { expect, test } from "vitest";
import { AgentDevice, eventually, VisitorDevice } from "./pages";
import { newScene } from "./scene";

const scene = newScene();
const hay = 150;

const found = (desk: AgentDevice): Locator => desk.page.locator(".message.found .bubble");
const marks = (desk: AgentDevice): Locator => desk.page.locator(".hit mark");

/** Types what to search for, and waits until the one message that has it is found. */
async function search(desk: AgentDevice, words: string, marked: string): Promise<void> {
  await desk.page.getByRole("searchbox").fill(words);
  await expect.poll(() => marks(desk).allTextContents(), { timeout: 30_000 }).toEqual([marked]);
}

/** The message is marked, and where an eye falls on it. */
async function expectInSight(desk: AgentDevice, text: string): Promise<void> {
  await expect.poll(() => found(desk).textContent(), { timeout: 30_000 }).toContain(text);
  await eventually(async () => {
    const [message, list] = [await found(desk).boundingBox(), await desk.page.locator(".messages").boundingBox()];
    if (!message || !list) return "it is not there";
    return message.y >= list.y && message.y + message.height <= list.y + list.height ? "" : `it is at ${message.y}, the list from ${list.y} to ${list.y + list.height}`;
  });
}

test("an agent finds a Chinese and an English message, and reads around them", async () => {
  const ann = await VisitorDevice.open(scene.browser, scene.shop.origin);
  await ann.say("你好，我的订单想申请退款 <b>");
  await ann.page.evaluate(`for (let n = 1; n <= ${hay}; n++) parley.send("hay " + n)`);
  await expect.poll(() => ann.page.evaluate("parley.state().pending"), { timeout: 30_000 }).toBe(0);
  const bob = await VisitorDevice.open(scene.browser, scene.shop.origin);
  await bob.say("Hello, my parcel has been lost");

  const desk = await AgentDevice.open(scene.browser, scene.server.url);
  await desk.page.locator("button.row").nth(1).waitFor();
  await desk.page.keyboard.press("/");
  await search(desk, "parcels", "parcel");
  await desk.page.keyboard.press("ArrowDown");
  await desk.page.keyboard.press("Enter");
  await expectInSight(desk, "Hello, my parcel has been lost");

  // Far back: what stands around it comes first, the newest messages when they are asked for.
  await search(desk, "退款", "退款");
  expect(await desk.page.locator(".hit .snippet").textContent()).toBe("你好，我的订单想申请退款 <b>");
  await desk.page.locator(".hit").click();
  await expectInSight(desk, "你好，我的订单想申请退款 <b>");
  expect((await desk.shown()).map(({ text }) => text)).not.toContain(`hay ${hay}`);
  const later = desk.page.getByRole("button", { name: "Show later messages" });
  await eventually(async () => {
    if ((await later.count()) === 0) return "";
    await later.click();
    return "there is more to come";
  });
  await expect.poll(async () => (await desk.shown()).length, { timeout: 30_000 }).toBe(1 + hay);

  // A reload finds the place again, and the newest messages are a press away from it.
  await desk.page.reload();
  await expectInSight(desk, "你好，我的订单想申请退款 <b>");
  await desk.page.getByRole("button", { name: "To the newest messages" }).click();
  await expect.poll(async () => (await desk.shown()).at(-1)?.text, { timeout: 30_000 }).toBe(`hay ${hay}`);
  expect(await found(desk).count()).toBe(0);

  await search(desk, "hello", "Hello");
  await desk.page.keyboard.press("Escape");
  await desk.page.locator("button.row").first().waitFor();
});

test("what was found goes, or says the new words, with its message", async () => {
  const [ann, bob] = [await VisitorDevice.open(scene.browser, scene.shop.origin), await VisitorDevice.open(scene.browser, scene.shop.origin)];
  await ann.say("my secret is walnut");
  await bob.say("walnut cake, please");
  const desk = await AgentDevice.open(scene.browser, scene.server.url);
  await desk.page.getByRole("searchbox").fill("walnut");
  const hits = desk.page.locator(".hit .snippet");
  await expect.poll(() => hits.count(), { timeout: 30_000 }).toBe(2);
  await hits.getByText("my secret is").click();
  await expectInSight(desk, "my secret is walnut");
  for (const [visitor, choice] of [
    [ann, "Delete"],
    [bob, "Edit"],
  ] as const) {
    await visitor.page.locator(".message").hover();
    await visitor.page.getByRole("button", { name: "Change this message" }).click();
    await visitor.page.getByText(choice, { exact: true }).click();
  }
  await desk.page.locator(".message", { hasText: "This message was deleted" }).waitFor();
  await expect.poll(() => hits.allTextContents()).not.toContain("my secret is walnut");
  await bob.say("walnut bread, please");
  await expect.poll(() => hits.allTextContents(), { timeout: 30_000 }).toEqual(["walnut bread, please"]);
});

test("an agent is told what cannot be searched for", async () => {
  const desk = await AgentDevice.open(scene.browser, scene.server.url);
  const field = desk.page.getByRole("searchbox");
  for (const [words, text] of [
    ["***", "There is nothing to search for in this."],
    ["字".repeat(150), "This is too much to search for at once."],
    ["x".repeat(201), "Please use at most 200 characters."],
  ] as const) {
    await field.fill(words);
    await desk.page.getByText(text).waitFor();
  }
  await field.fill("nobodywrotethis");
  await desk.page.getByText("Nothing found for “nobodywrotethis”").waitFor();
});
