// What must not be out of sight, on wide and narrow screens: choices that wait,
// and the last line when something opens beside it.

import type { Locator } from "playwright-core";
import { expect, test } from "vitest";
import { AgentDevice, eventually, VisitorDevice } from "./pages";
import { newScene } from "./scene";

const scene = newScene();

/** It is inside its list, all of it. */
async function expectInSight(one: Locator, list: Locator): Promise<void> {
  await eventually(async () => {
    const [inside, around] = [await one.boundingBox(), await list.boundingBox()];
    if (!inside || !around) return "it is not there";
    return inside.y + inside.height <= around.y + around.height + 1 ? "" : `it ends at ${inside.y + inside.height}, the list at ${around.y + around.height}`;
  });
}

test("the choice between two drafts, and the last line above it", async () => {
  const visitor = await VisitorDevice.open(scene.browser, scene.shop.origin);
  for (let n = 1; n <= 25; n++) await visitor.say(`line ${n} https://example.org/${n}`);
  const desk = await AgentDevice.open(scene.browser, scene.server.url);
  const tablet = await AgentDevice.open(scene.browser, scene.server.url);
  for (const agent of [desk, tablet]) await agent.choose();
  await desk.claim();
  const field = (agent: AgentDevice): Locator => agent.page.locator(".composer textarea");
  await field(tablet).waitFor();
  await tablet.page.context().setOffline(true);
  const stored = desk.page.waitForResponse((answer) => answer.url().endsWith("/v1/me/registers") && answer.request().method() === "POST");
  await field(desk).fill("Your parcel left our house this morning.");
  await field(tablet).fill("Your parcel is on its way to you.");
  await stored;
  await tablet.page.context().setOffline(false);
  await tablet.page.evaluate("dispatchEvent(new Event('online'))");
  const choice = tablet.page.locator(".banner.other");
  for (const [width, height] of [
    [1440, 900],
    [360, 720],
  ] as const) {
    await tablet.page.setViewportSize({ width, height });
    await choice.waitFor({ timeout: 30_000 });
    await expectInSight(tablet.page.locator(".messages .message").last(), tablet.page.locator(".messages"));
  }
  expect(await tablet.page.locator(".bubble a").first().getAttribute("rel")).toBe("noopener noreferrer nofollow");
  const chinese = new URL(tablet.page.url());
  chinese.searchParams.set("locale", "zh");
  await tablet.page.setViewportSize({ width: 1440, height: 900 });
  await tablet.page.goto(String(chinese));
  await choice.getByText("您在另一台设备上写了").waitFor();
  await tablet.page.getByRole("button", { name: "保留此处内容" }).click();
  await choice.waitFor({ state: "detached" });
});

test("a visitor's last line when a banner or its menu opens", async () => {
  const visitor = await VisitorDevice.open(scene.browser, scene.shop.origin);
  await visitor.page.setViewportSize({ width: 360, height: 640 });
  for (let n = 1; n <= 25; n++) await visitor.say(`line ${n}`);
  const [last, list] = [visitor.page.locator(".message").last(), visitor.page.locator(".list")];
  await last.getByText("Sent", { exact: true }).waitFor();
  await expectInSight(last, list);
  await last.hover();
  await last.getByRole("button", { name: "Change this message" }).click();
  await expectInSight(last.locator(".menu"), list);
  await last.getByRole("button", { name: "Change this message" }).click();
  await visitor.page.context().setOffline(true);
  await scene.server.kill();
  await visitor.page.getByText("Offline").waitFor({ timeout: 60_000 });
  await expectInSight(last, list);
});
