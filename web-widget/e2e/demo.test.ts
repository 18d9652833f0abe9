// The demo page: three devices, pulled cables, a killed server, and a scoreboard
// that must end at nothing lost, doubled or reordered.

import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Demo, DemoPage } from "./demo";
import { openBrowser } from "./pages";

const devices = ["visitor", "pc", "tablet"];
let demo: Demo;
let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser();
});
beforeEach(async () => {
  demo = await Demo.start();
});
afterEach(() => demo?.remove());
afterAll(() => browser?.close());

async function begin(): Promise<DemoPage> {
  const page = await DemoPage.open(browser, demo, { viewport: { width: 1440, height: 900 }, locale: "en-US" });
  await page.say("visitor", "hello from the shop");
  await page.inside("pc").locator("nav button").first().click();
  await page.inside("pc").getByRole("button", { name: "Claim" }).click();
  await page.say("pc", "hello from the desk");
  for (const device of devices) await page.message(device, "hello from the desk").waitFor();
  return page;
}

const perfect = (n: number) => ({ sent: n, acked: n, stored: n, flight: 0, lost: 0, doubled: 0, reordered: 0 });

test("nothing is lost, whatever is pulled and killed", { timeout: 240_000 }, async () => {
  const page = await begin();
  let messages = 2;
  expect(await page.verdict(messages)).toEqual(perfect(messages));

  for (const pulled of devices) {
    await page.flood(pulled === "visitor" ? "tablet" : "visitor");
    await page.pull(pulled);
    if (pulled !== "visitor") await page.kill();
    await page.say(pulled, `written on ${pulled} without a cable`);
    await page.page.locator(".score.busy").waitFor();
    await page.plug(pulled);
    messages += 201;
    expect(await page.verdict(messages)).toEqual(perfect(messages));
  }

  expect(await page.page.locator(".server").textContent()).toMatch(/Back after \d+ ms · 2 restarts/);

  const drawn = await page.drawn("visitor");
  expect(drawn).toHaveLength(messages);
  expect(await page.drawn("pc")).toEqual(drawn);
  expect(await page.drawn("tablet")).toEqual(drawn);

  // Another load of the page, on the same devices, is judged by what they sent before.
  await page.page.reload();
  await expect.poll(() => page.verdict(messages), { timeout: 30_000 }).toEqual(perfect(messages)); // it counts anew
  expect(page.complaints).toEqual([]);
  await page.close();
});

test("a pulled cable holds back one device only", { timeout: 120_000 }, async () => {
  const page = await begin();
  await page.pull("pc");
  await page.say("visitor", "can you hear me");
  await page.message("tablet", "can you hear me").waitFor();
  expect(await page.message("pc", "can you hear me").count()).toBe(0);
  await page.plug("pc");
  await page.message("pc", "can you hear me").waitFor();
  await page.close();
});

test.each([360, 820, 1440])("both languages on %i pixels", { timeout: 120_000 }, async (width) => {
  const page = await DemoPage.open(browser, demo, { viewport: { width, height: 800 }, locale: "zh-CN", colorScheme: "dark" });
  await page.page.getByRole("heading", { level: 1, name: "试试看" }).waitFor();
  await page.inside("visitor").getByText("您好").waitFor();
  await page.page.getByRole("button", { name: "English" }).click();
  await page.page.getByRole("heading", { level: 1, name: "Try to lose a message" }).waitFor();
  await page.inside("visitor").getByText("How can we help").waitFor();
  expect(await page.page.evaluate("document.documentElement.scrollWidth")).toBe(width);
  expect(await page.page.evaluate("scrollY")).toBe(0); // no device has taken the focus, and the page with it
  expect(page.complaints).toEqual([]);
  await page.close();
});
