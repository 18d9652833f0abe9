// The widget and the console in a real browser, behind a proxy that knows no
// WebSocket.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AgentDevice, eventually, openBrowser, VisitorDevice } from "./pages";
import { Proxy } from "./proxy";
import { Server } from "./server";
import { Shop } from "./shop";

const shop = new Shop();
let server: Server;
let proxy: Proxy;
let browser: Browser;

beforeAll(async () => {
  await shop.open();
  server = await Server.start(shop.origin);
  proxy = await Proxy.start(server.url, { webSockets: "stripped", idle: 30_000 });
  shop.parley = proxy.url;
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  proxy?.close();
  await server?.remove();
  await shop.close();
});

test("a visitor and an agent converse over plain HTTP, also when it is cut", async () => {
  const visitor = await VisitorDevice.open(browser, shop.origin);
  const desk = await AgentDevice.open(browser, proxy.url);
  await visitor.say("Hello, is anybody there? 你好 👋");
  await desk.choose();
  await desk.claim();

  const sent = ["Hello, is anybody there? 你好 👋"];
  const agree = (): Promise<void> =>
    eventually(async () => {
      const want = JSON.stringify([...sent].sort());
      const lists = [await visitor.shown(), await desk.shown()];
      for (const [i, list] of lists.entries()) {
        const texts = JSON.stringify(list.map(({ text }) => text).sort());
        if (texts !== want) return `device ${i + 1} shows ${list.length} of ${sent.length}`;
        if (list.some(({ seq }) => seq === 0)) return `device ${i + 1} shows what is not stored`;
      }
      return JSON.stringify(lists[0]) === JSON.stringify(lists[1]) ? "" : "the lists differ";
    });
  for (let round = 1; round <= 3; round++) {
    for (let n = 1; n <= 10; n++) {
      for (const [device, who] of [[visitor, "visitor"], [desk, "desk"]] as const) {
        sent.push(`${who} ${round}.${n} 🙂`);
        await device.say(sent.at(-1) ?? "");
      }
      if (n === 5) proxy.cut();
    }
    await agree();
  }
  const conversation = await visitor.page.evaluate("window.parley.state().conversation");
  const log = (await server.log(String(conversation))).filter(({ type }) => type === "text");
  expect(log.map(({ seq, body }) => ({ seq, text: body.text }))).toEqual(await visitor.shown());
  expect(proxy.tunnels).toBeGreaterThanOrEqual(2);
  await visitor.page.screenshot({ path: `${process.env["TMPDIR"] ?? "/tmp"}/fallback-visitor.png` });
  await desk.page.screenshot({ path: `${process.env["TMPDIR"] ?? "/tmp"}/fallback-desk.png` });
});
