// The first conversation: a visitor and two devices of one agent, in a real
// browser, against the real server, which is killed in the middle.

import { expect, test } from "vitest";
import { AgentDevice, eventually, VisitorDevice, type Device } from "./pages";
import { newScene } from "./scene";
import type { LogEntry } from "./server";

const each = 50;
const scene = newScene();

const texts = (log: readonly LogEntry[]): { seq: number; text: string }[] =>
  log.filter((entry) => entry.type === "text").map(({ seq, body }) => ({ seq, text: body.text ?? "" }));

/** Every device shows exactly the log, in its order. */
async function expectTheSame(devices: readonly Device[], conversation: string, count: number): Promise<void> {
  await eventually(async () => {
    const log = texts(await scene.server.log(conversation));
    if (log.length !== count) return `the log holds ${log.length} messages, want ${count}`;
    for (const [i, device] of devices.entries()) {
      const shown = await device.shown();
      if (JSON.stringify(shown) !== JSON.stringify(log)) return `device ${i + 1} shows ${shown.length} of ${log.length}: ${JSON.stringify(shown.slice(-3))}`;
    }
    return "";
  });
}

test("a visitor and two devices of an agent see the same list in the same order", async () => {
  const visitor = await VisitorDevice.open(scene.browser, scene.shop.origin);
  const desk = await AgentDevice.open(scene.browser, scene.server.url);
  const tablet = await AgentDevice.open(scene.browser, scene.server.url);

  await visitor.say("Hello, is anybody there? 你好 👋");
  await desk.choose();
  await desk.claim();
  await tablet.choose();
  const conversation = await visitor.page.evaluate("window.parley.state().conversation");
  if (typeof conversation !== "string") throw new Error("the visitor has no conversation");
  await expectTheSame([visitor, desk, tablet], conversation, 1);

  const write = async (device: Device, who: string): Promise<void> => {
    for (let n = 1; n <= each; n++) await device.say(`${who} ${n}: <b>text</b> & 中文 🙂`);
  };
  await Promise.all([write(visitor, "visitor"), write(desk, "desk"), write(tablet, "tablet")]);
  await expectTheSame([visitor, desk, tablet], conversation, 1 + 3 * each);

  // What is written while the server is dead is kept, and sent when it is back.
  await scene.server.kill();
  await visitor.say("written while the server was down");
  await desk.say("and so was this");
  await scene.server.launch();
  await expectTheSame([visitor, desk, tablet], conversation, 3 + 3 * each);

  // Also when the page is reloaded before the server is back.
  await scene.server.kill();
  await visitor.say("written before a reload");
  await visitor.page.waitForFunction("window.parley.state().pending === 1");
  await visitor.page.route("**/widget.js", (route) => route.abort()); // the shop is up, the server is not
  await visitor.page.reload();
  await visitor.page.unroute("**/widget.js");
  await scene.server.launch();
  await visitor.reload();
  await eventually(async () => ((await visitor.page.evaluate("window.parley.state().pending")) === 0 ? "" : "the outbox is not empty"));
  await eventually(async () => {
    const log = texts(await scene.server.log(conversation));
    return log.at(-1)?.text === "written before a reload" && log.length === 4 + 3 * each ? "" : `the log ends with ${JSON.stringify(log.at(-1))}`;
  });
  await expectTheSame([desk, tablet], conversation, 4 + 3 * each);
  const shown = await visitor.shown(); // a page's worth of history
  expect(shown).toEqual(texts(await scene.server.log(conversation)).slice(-shown.length));
  expect(shown.length).toBeGreaterThan(20);
});
