// What most tests play in: a shop with the widget, the real server, and a browser.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { openBrowser } from "./pages";
import { Server } from "./server";
import { Shop } from "./shop";

export interface Scene {
  readonly shop: Shop;
  server: Server;
  browser: Browser;
}

/** Opens everything before the tests of a file, and closes it behind them. What is in it is there when a test runs. */
export function newScene(): Scene {
  const scene = { shop: new Shop() } as Scene;
  beforeAll(async () => {
    await scene.shop.open();
    scene.server = await Server.start(scene.shop.origin);
    scene.shop.parley = scene.server.url;
    scene.browser = await openBrowser();
  });
  afterAll(async () => {
    await scene.browser?.close();
    await scene.server?.remove();
    await scene.shop.close();
  });
  return scene;
}
