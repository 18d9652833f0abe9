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

test("after a reload the page says only what is true", { timeout: 120_000 }, async () => {
  const page = await begin();
  expect(await page.verdict(2)).toEqual(perfect(2));
  await page.recordStates();
  for (let reload = 0; reload < 3; reload++) {
    await page.page.reload();
    expect(await page.verdict(2)).toEqual(perfect(2));
    const states = await page.states();
    for (const { title, numbers, server } of states) {
      const counting = numbers.every((number) => number === "–");
      expect([counting, title, numbers]).toEqual(
        counting ? [true, "Waiting for the devices …", numbers] : [false, expect.stringMatching(/^2 messages, not on every|^Everybody has the same 2/), ["2", "2", "2", "0", "0", "0", "0"]],
      );
      expect(server).toContain("Running as process");
    }
  }
  await page.close();
});

test("another visitor's messages are said to be so, and the tablet stays where it is", { timeout: 120_000 }, async () => {
  const page = await begin();
  expect(await page.verdict(2)).toEqual(perfect(2));
  await page.newVisitor();
  const { page: screen } = page;
  await screen.getByRole("heading", { name: "The visitor has not written yet" }).waitFor();
  await screen.getByText("2 of the stored messages are from earlier visitors").waitFor();
  expect(await screen.locator("[data-device=visitor] .counts").textContent()).toBe("0 shown");
  expect(await page.numbers()).toEqual(perfect(2));

  await page.say("visitor", "another customer");
  await page.choose("pc", "another customer");
  await page.inside("pc").getByRole("button", { name: "Claim" }).click();
  await page.message("tablet", "another customer").waitFor();
  await page.say("visitor", "are you there?");
  expect(await page.verdict(2)).toEqual(perfect(2));

  // The older conversation is now the one that something has happened in last.
  await page.choose("pc", "hello from the desk");
  await page.say("pc", "one more thing");
  await screen.getByText("3 of the stored messages are from earlier visitors").waitFor();
  await screen.reload();
  await page.message("pc", "one more thing").waitFor();
  await page.message("tablet", "another customer").waitFor();
  await screen.getByText("3 of the stored messages are from earlier visitors").waitFor();
  expect(await page.message("tablet", "one more thing").count()).toBe(0);

  // Whichever of the two it is: the one that was open here.
  await page.choose("tablet", "one more thing");
  await page.message("tablet", "one more thing").waitFor();
  await screen.reload();
  await page.message("tablet", "one more thing").waitFor();
  await screen.getByText("3 of the stored messages are from earlier visitors").waitFor();
  expect(await page.message("tablet", "another customer").count()).toBe(0);
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

test.each(["en-US", "zh-CN"])("nothing covers the buttons of a narrow page (%s)", { timeout: 120_000 }, async (locale) => {
  const page = await DemoPage.open(browser, demo, { viewport: { width: 390, height: 844 }, locale });
  await page.kill();
  const after = page.page.locator(".server .after");
  await after.waitFor();
  const button = await page.page.locator("[data-action=kill]").boundingBox();
  for (const text of [after, page.page.locator(".server .dot")]) {
    const box = await text.boundingBox();
    if (!box || !button) throw new Error("it is not drawn");
    expect(box.x + box.width).toBeLessThanOrEqual(390);
    expect(box.y + box.height <= button.y || box.x + box.width <= button.x).toBe(true);
  }
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
