// A widget that speaks Chinese, on a page that allows scripts and connections
// and nothing else; the words come from a file of their own.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBrowser, VisitorDevice } from "./pages";
import { Server } from "./server";
import { Shop } from "./shop";

const shop = new Shop();
let server: Server;
let browser: Browser;

beforeAll(async () => {
  await shop.open();
  server = await Server.start(shop.origin);
  shop.parley = server.url;
  shop.locale = "zh-CN";
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  await server?.remove();
  await shop.close();
});

test("speaks Chinese from the first moment it says anything", async () => {
  const { page } = await VisitorDevice.open(browser, shop.origin);
  expect(await page.locator("textarea").getAttribute("placeholder")).toBe("输入消息…");
  expect(await page.locator("parley-widget").getAttribute("lang")).toBe("zh-CN");
});

test("speaks English when the words do not come", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route("**/widget-zh.json", (route) => route.abort());
  await page.goto(shop.origin);
  await page.getByPlaceholder("Write a message…").waitFor();
  await context.close();
});
