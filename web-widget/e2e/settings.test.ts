// What the devices of one agent share: drafts, and what is pinned, muted and
// marked unread.

import { expect, test } from "vitest";
import { AgentDevice, VisitorDevice } from "./pages";
import { newScene } from "./scene";

const scene = newScene();

test("what is begun on the PC is on the tablet, and a device that comes later has it all", async () => {
  const visitor = await VisitorDevice.open(scene.browser, scene.shop.origin);
  await visitor.say("Hello!");
  const other = await VisitorDevice.open(scene.browser, scene.shop.origin);
  await other.say("Anybody?");
  const desk = await AgentDevice.open(scene.browser, scene.server.url);
  const tablet = await AgentDevice.open(scene.browser, scene.server.url);
  await desk.page.getByText("Hello!").click();
  await desk.claim();
  const mine = tablet.page.getByRole("list", { name: "Mine" });
  await mine.getByText("Hello!").click(); // once it stands there: rows on their way are missed
  const fields = [desk, tablet].map(({ page }) => page.locator(".composer textarea"));
  const [atDesk, atTablet] = fields;
  if (!atDesk || !atTablet) throw new Error("no fields");

  await atDesk.pressSequentially("Dear Ann, 您好");
  await expect.poll(() => atTablet.inputValue()).toBe("Dear Ann, 您好");
  await atDesk.blur(); // the agent goes to the tablet
  await atTablet.press("End");
  await atTablet.pressSequentially("!");
  await expect.poll(() => atDesk.inputValue()).toBe("Dear Ann, 您好!");
  await atTablet.press("Enter");
  for (const field of fields) await expect.poll(() => field.inputValue()).toBe("");
  await visitor.page.getByText("Dear Ann, 您好!").waitFor();

  await atDesk.fill("next");
  const row = desk.page.locator(".lists li", { hasText: "Anybody?" });
  for (const choice of ["Pin", "Mute"]) {
    await row.hover();
    await row.getByRole("button", { name: /^Actions for/ }).click();
    await desk.page.getByRole("menuitem", { name: choice, exact: true }).click();
  }
  const phone = await AgentDevice.open(scene.browser, scene.server.url);
  for (const { page } of [desk, tablet, phone]) {
    const there = page.locator(".lists li", { hasText: "Anybody?" });
    for (const flag of ["Pinned", "Muted"]) await there.getByRole("img", { name: flag }).waitFor();
  }
  await phone.page.locator(".lists").getByText("Dear Ann").click();
  await expect.poll(() => phone.page.locator(".composer textarea").inputValue()).toBe("next");
});
