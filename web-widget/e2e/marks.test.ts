// Who has read what: a visitor and two devices of one agent, in a real browser,
// against the real server.

import { expect, test } from "vitest";
import { AgentDevice, VisitorDevice } from "./pages";
import { newScene } from "./scene";

const scene = newScene();

test("what an agent reads on one device is read on the other, and the visitor sees it", async () => {
  const visitor = await VisitorDevice.open(scene.browser, scene.shop.origin);
  const desk = await AgentDevice.open(scene.browser, scene.server.url);
  const tablet = await AgentDevice.open(scene.browser, scene.server.url);
  const badges = [desk, tablet].map((device) => device.page.locator(".row .badge"));
  const [atDesk, atTablet] = badges;
  if (!atDesk || !atTablet) throw new Error("no badges");

  // Two messages wait; nobody has looked at them.
  await visitor.say("Hello, is anybody there?");
  await visitor.say("你好");
  for (const badge of badges) await expect.poll(() => badge.textContent()).toBe("2");
  await expect.poll(() => tablet.page.title()).toBe("(1) Parley");
  await visitor.page.getByText("Sent", { exact: true }).waitFor();

  // The desk reads and claims; the tablet, where nothing was opened, has nothing left to read.
  await desk.choose();
  await desk.claim();
  await atDesk.waitFor({ state: "detached" });
  await atTablet.waitFor({ state: "detached", timeout: 1_000 });
  await visitor.page.getByText("Read", { exact: true }).waitFor();
  await expect.poll(() => tablet.page.title()).toBe("Parley");

  // The other way: the desk sees that the visitor has read, and what has only arrived.
  await desk.say("Yes, I am here.");
  await desk.page.locator(".progress", { hasText: "Read" }).waitFor();
  await visitor.page.evaluate("window.parley.close()");
  await desk.say("How can I help?");
  await desk.page.locator(".progress", { hasText: "Delivered" }).waitFor();
  await visitor.page.locator(".badge").waitFor();
  expect(await visitor.page.locator(".badge").textContent()).toBe("1");

  // A page that is loaded anew knows all of it from the scene.server.
  await visitor.page.evaluate("window.parley.open()");
  await desk.page.locator(".progress", { hasText: "Delivered" }).waitFor({ state: "detached" });
  await tablet.page.reload();
  await tablet.page.locator("button.row").first().waitFor();
  expect(await atTablet.count()).toBe(0);
});
